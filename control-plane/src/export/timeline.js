// All attempts over time, by the slots of their workers. Without scripts, the picture of those that took longest stays.
(async () => {
  "use strict";
  const place = document.getElementById("all-attempts");
  const known = await weirAttempts;
  if (!place || !known) return;
  const { columns, word, count, millis, make } = known;
  const { stage, task, attempt, started_at: started, finished_at: finished } = columns;
  const LANE = 14;
  const AXIS = 22;
  const COLOURS = 8;

  // No two attempts of a slot at once, those of a worker together.
  const workers = new Map();
  for (let row = 0; row < known.rows; row += 1) {
    if (started[row] < 0 || finished[row] < 0) continue;
    const worker = word("worker", row);
    if (!workers.has(worker)) workers.set(worker, []);
    workers.get(worker).push(row);
  }
  const lanes = [];
  let [begin, end, total] = [Infinity, -Infinity, 0];
  for (const [, rows] of [...workers].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    rows.sort((a, b) => started[a] - started[b] || a - b);
    const slots = [];
    for (const row of rows) {
      begin = Math.min(begin, started[row]);
      end = Math.max(end, finished[row]);
      const free = slots.find((slot) => finished[slot[slot.length - 1]] <= started[row]);
      if (free) free.push(row);
      else slots.push([row]);
    }
    lanes.push(...slots);
    total += rows.length;
  }
  if (total === 0) return;
  end = Math.max(end, begin + 1);

  const colour = (name, property) => {
    const sample = make("i", { className: name, hidden: true });
    place.append(sample);
    const found = getComputedStyle(sample)[property];
    sample.remove();
    return found;
  };
  let colours;
  const learnColours = () => {
    const page = getComputedStyle(document.body);
    colours = {
      stages: Array.from({ length: COLOURS }, (_, at) => colour(`s${at}`, "backgroundColor")),
      text: page.getPropertyValue("--soft").trim() || page.color,
      line: page.getPropertyValue("--line").trim() || "gray",
      bad: page.getPropertyValue("--bad").trim() || "red",
    };
  };

  const view = { from: begin, to: end };
  const canvas = make("canvas", { role: "img", tabIndex: 0 });
  const tall = make("div", { className: "tall" }, canvas);
  const frame = make("div", { className: "lanes", tabIndex: -1 }, tall);
  const status = make("span", { role: "status", className: "note" });
  const under = make("p", { className: "note under", textContent: "\u00a0" });

  // The first attempt of a slot that is not over at a time.
  const firstAt = (lane, at) => {
    let [low, high] = [0, lane.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (finished[lane[middle]] < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const draw = () => {
    const { width, height } = frame.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    const [wide, high] = [Math.max(1, frame.clientWidth || width), Math.max(1, frame.clientHeight || height)];
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(high * scale);
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${high}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const span = view.to - view.from;
    const x = (at) => ((at - view.from) / span) * wide;
    pen.font = "11px system-ui, sans-serif";
    const ticks = Math.max(1, Math.min(8, Math.floor(wide / 110)));
    for (let tick = 0; tick <= ticks; tick += 1) {
      const at = (wide * tick) / ticks;
      pen.fillStyle = colours.line;
      pen.fillRect(Math.min(at, wide - 1), AXIS, 1, high);
      pen.fillStyle = colours.text;
      pen.textAlign = tick === 0 ? "left" : tick === ticks ? "right" : "center";
      pen.fillText(millis(Math.round(view.from - begin + (span * tick) / ticks)), at, 14);
    }
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, wide, high - AXIS);
    pen.clip();
    const first = Math.floor(frame.scrollTop / LANE);
    const last = Math.min(lanes.length, first + Math.ceil(high / LANE) + 1);
    for (let number = first; number < last; number += 1) {
      const lane = lanes[number];
      const y = AXIS + number * LANE - frame.scrollTop;
      let until = -1;
      for (let at = firstAt(lane, view.from); at < lane.length && started[lane[at]] <= view.to; at += 1) {
        const row = lane[at];
        const state = word("state", row);
        const left = Math.max(0, x(started[row]));
        const right = Math.min(wide, Math.max(x(finished[row]), left + 1));
        // What ends in a pixel that is drawn already adds nothing to see, unless it failed.
        if (right <= until && state !== "failed") continue;
        until = right;
        pen.globalAlpha = state === "succeeded" ? 1 : 0.35;
        pen.fillStyle = colours.stages[stage[row] % COLOURS];
        pen.fillRect(left, y + 1, right - left, LANE - 3);
        pen.globalAlpha = 1;
        if (state === "failed") {
          pen.fillStyle = colours.bad;
          pen.fillRect(left, y + LANE - 4, Math.max(2, right - left), 2);
        }
      }
    }
    pen.restore();
    const all = view.from === begin && view.to === end;
    status.textContent =
      `${count(total)} attempts in ${count(lanes.length)} slots` +
      (all ? "" : `; from ${millis(Math.round(view.from - begin))} to ${millis(Math.round(view.to - begin))}`);
    canvas.ariaLabel = `Timeline: ${status.textContent}`;
    buttons.forEach((button) => (button.disabled = all && button.dataset.all !== undefined));
  };
  let asked = 0;
  const redraw = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  };
  const show = (from, to) => {
    const span = Math.min(end - begin, Math.max(1, to - from));
    view.from = Math.min(Math.max(begin, from), end - span);
    view.to = view.from + span;
    redraw();
  };
  /** Makes the window as much longer, around a time. */
  const zoom = (factor, around = (view.from + view.to) / 2) =>
    show(around - (around - view.from) * factor, around + (view.to - around) * factor);
  const move = (part) => show(view.from + (view.to - view.from) * part, view.to + (view.to - view.from) * part);
  const actions = [
    ["Zoom in", () => zoom(0.5), "+"],
    ["Zoom out", () => zoom(2), "-"],
    ["Earlier", () => move(-0.5), "ArrowLeft"],
    ["Later", () => move(0.5), "ArrowRight"],
    ["All", () => show(begin, end), "0"],
  ];
  const buttons = actions.map(([title, act], at) => {
    const button = make("button", { type: "button", textContent: title });
    if (at !== 0) button.dataset.all = "";
    button.addEventListener("click", act);
    return button;
  });
  canvas.addEventListener("keydown", (event) => {
    const action = actions.find(([, , key]) => key === event.key);
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action[1]();
  });

  const timeAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from);
  };
  const rowAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const lane = lanes[Math.floor((event.clientY - box.top - AXIS + frame.scrollTop) / LANE)];
    if (!lane || event.clientY - box.top < AXIS) return undefined;
    const slack = ((view.to - view.from) / box.width) * 2;
    const row = lane[firstAt(lane, timeAt(event) - slack)];
    return row !== undefined && started[row] <= timeAt(event) + slack ? row : undefined;
  };
  // A drag chooses the window.
  let held;
  canvas.addEventListener("pointerdown", (event) => {
    held = { at: timeAt(event), x: event.clientX };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (held && Math.abs(event.clientX - held.x) > 5) {
      const now = timeAt(event);
      show(Math.min(held.at, now), Math.max(held.at, now));
    }
    held = undefined;
  });
  canvas.addEventListener("pointermove", (event) => {
    const row = rowAt(event);
    under.textContent =
      row === undefined
        ? "\u00a0"
        : `task ${stage[row]}.${task[row]}, attempt ${attempt[row]}: ${word("state", row).replace("_", " ")} after ` +
          `${millis(finished[row] - started[row])}, at ${millis(started[row] - begin)}, on ${word("worker", row)}`;
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
    },
    { passive: false },
  );
  frame.addEventListener("scroll", redraw, { passive: true });
  new ResizeObserver(redraw).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    learnColours();
    redraw();
  });

  tall.style.height = `${AXIS + lanes.length * LANE}px`;
  place.append(make("div", { className: "controls" }, ...buttons, status), frame, under);
  place.hidden = false;
  document.getElementById("some-attempts")?.remove();
  learnColours();
  draw();
})();
