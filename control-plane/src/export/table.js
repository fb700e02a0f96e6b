// All tasks of the run, sorted and chosen in the page. Without scripts, the table of those that took longest stays.
(async () => {
  "use strict";
  const source = document.getElementById("weir-attempts");
  const place = document.getElementById("all-tasks");
  if (!source || !place || typeof DecompressionStream === "undefined") return;
  const PAGE = 200;

  const bytes = Uint8Array.from(atob(source.textContent), (character) => character.charCodeAt(0));
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(unzipped).text());
  const columns = {};
  for (const [name, deltas] of Object.entries(data.numbers)) {
    const column = new Float64Array(data.rows);
    let value = 0;
    for (let row = 0; row < data.rows; row += 1) column[row] = value += deltas[row];
    columns[name] = column;
  }
  columns.queue_delay_ms = new Float64Array(data.rows).map((_, row) =>
    columns.started_at[row] < 0 ? 0 : Math.max(0, columns.started_at[row] - columns.ready_at[row]),
  );
  const words = data.words;
  const word = (name, row) => (words[name].places[row] ? words[name].list[words[name].places[row] - 1] : "");

  const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const size = (number) => {
    let [value, unit] = [number, 0];
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    while (value >= 1024 && unit + 1 < units.length) [value, unit] = [value / 1024, unit + 1];
    return `${unit === 0 ? number : value < 10 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
  };
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const micros = (us) => {
    if (us === 0) return "0";
    if (us < 1e3) return `${us} µs`;
    if (us < 1e4) return `${(us / 1e3).toFixed(1)} ms`;
    if (us < 1e6) return `${Math.floor(us / 1e3)} ms`;
    if (us < 6e7) return `${(us / 1e6).toFixed(1)} s`;
    if (us < 3.6e9) return `${Math.floor(us / 6e7)}m ${two((us / 1e6) % 60)}s`;
    return `${Math.floor(us / 3.6e9)}h ${two((us / 6e7) % 60)}m`;
  };
  const millis = (ms) => micros(ms * 1e3);

  const number = (name, title, write) => ({ name, title, write, number: true });
  const shown = [
    { name: "task", title: "Task", show: (row) => `${columns.stage[row]}.${columns.task[row]}` },
    { name: "state", title: "State", show: (row) => word("state", row).replace("_", " ") },
    number("attempts", "Attempts", count),
    number("attempts_failed", "Failed", count),
    number("elapsed_us", "Time", micros),
    number("queue_delay_ms", "Waited", millis),
    number("cpu_us", "CPU time", micros),
    number("wasm_us", "In Wasm", micros),
    number("rows_in", "Rows in", count),
    number("rows_out", "Rows out", count),
    number("bytes_in", "Bytes in", size),
    number("bytes_out", "Bytes out", size),
    number("shuffle_bytes_in", "Shuffle in", size),
    number("shuffle_bytes_out", "Shuffle out", size),
    number("spilled_bytes", "Spilled", size),
    number("peak_memory_bytes", "Memory", size),
    { name: "failure", title: "Failure", show: (row) => word("failure", row) },
    { name: "worker", title: "Worker", show: (row) => word("worker", row) },
  ];
  const byName = Object.fromEntries(shown.map((column) => [column.name, column]));

  // In order of stage and index, as the API gives them.
  const all = [];
  for (let row = 0; row < data.rows; row += 1) if (columns.attempts[row] > 0) all.push(row);
  const inOrder = (a, b) => columns.stage[a] - columns.stage[b] || columns.task[a] - columns.task[b];
  all.sort(inOrder);

  const chosen = { stage: "", state: "", range: null, sort: "task", down: false, page: 0 };
  let rows = all;
  const choose = () => {
    const { stage, state, range, sort, down } = chosen;
    rows = all.filter(
      (row) =>
        (stage === "" || columns.stage[row] === Number(stage)) &&
        (state === "" || word("state", row) === state) &&
        (!range || (columns[range.name][row] >= range.min && columns[range.name][row] <= range.max)),
    );
    if (sort !== "task" || down) {
      const sign = down ? -1 : 1;
      const values = byName[sort].number ? columns[sort] : undefined;
      const compare = values
        ? (a, b) => values[a] - values[b]
        : sort === "task"
          ? inOrder
          : (a, b) => (word(sort, a) < word(sort, b) ? -1 : word(sort, a) > word(sort, b) ? 1 : 0);
      rows.sort((a, b) => sign * compare(a, b) || inOrder(a, b));
    }
    chosen.page = 0;
    draw();
  };

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const options = (select, choices) => {
    for (const [value, title] of choices) select.append(make("option", { value, textContent: title }));
    return select;
  };
  const stages = [...new Set(all.map((row) => columns.stage[row]))].map((stage) => [String(stage), `Stage ${stage}`]);
  const states = words.state.list.map((state) => [state, state.replace("_", " ")]);
  const stage = options(make("select", { ariaLabel: "Stage" }), [["", "All stages"], ...stages]);
  const state = options(make("select", { ariaLabel: "State" }), [["", "All states"], ...states]);
  const range = make("button", { type: "button", hidden: true });
  const status = make("span", { role: "status", className: "note" });
  const head = make("tr");
  const body = make("tbody");
  const buttons = [
    ["First", () => 0],
    ["Previous", (page) => page - 1],
    ["Next", (page) => page + 1],
    ["Last", (_, last) => last],
  ].map(([title, move]) => {
    const button = make("button", { type: "button", textContent: title });
    button.addEventListener("click", () => {
      chosen.page = move(chosen.page, Math.max(0, Math.ceil(rows.length / PAGE) - 1));
      draw();
    });
    return button;
  });
  stage.addEventListener("change", () => {
    chosen.stage = stage.value;
    choose();
  });
  state.addEventListener("change", () => {
    chosen.state = state.value;
    choose();
  });
  range.addEventListener("click", () => {
    chosen.range = null;
    choose();
  });
  for (const column of shown) {
    const button = make("button", { type: "button", textContent: column.title });
    button.addEventListener("click", () => {
      chosen.down = chosen.sort === column.name ? !chosen.down : Boolean(column.number);
      chosen.sort = column.name;
      choose();
    });
    head.append(make("th", { scope: "col", className: column.number ? "n" : "" }, button));
  }

  const draw = () => {
    const first = chosen.page * PAGE;
    const end = Math.min(rows.length, first + PAGE);
    status.textContent =
      rows.length === 0 ? "No task is like that." : `${count(first + 1)} to ${count(end)} of ${count(rows.length)}`;
    const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
    buttons.forEach((button, at) => (button.disabled = at < 2 ? chosen.page === 0 : chosen.page === last));
    range.hidden = !chosen.range;
    if (chosen.range) {
      const { title, write } = byName[chosen.range.name];
      range.textContent = `${title} from ${write(chosen.range.min)} to ${write(chosen.range.max)} ✕`;
      range.ariaLabel = `${range.textContent}: remove this filter`;
    }
    stage.value = chosen.stage;
    [...head.children].forEach((cell, at) => {
      const sorted = shown[at].name === chosen.sort;
      cell.ariaSort = sorted ? (chosen.down ? "descending" : "ascending") : "none";
    });
    body.replaceChildren(
      ...rows.slice(first, end).map((row) =>
        make(
          "tr",
          {},
          ...shown.map(({ name, write, show, number }) =>
            make("td", { className: number ? "n" : "", textContent: show ? show(row) : write(columns[name][row]) }),
          ),
        ),
      ),
    );
  };

  for (const cell of document.querySelectorAll("td[data-metric]")) {
    const { stage: of, metric, min, max } = cell.dataset;
    const button = make("button", { type: "button", textContent: cell.textContent, title: "Show its tasks" });
    button.addEventListener("click", () => {
      const wanted = { name: metric, min: Number(min), max: Number(max) };
      Object.assign(chosen, { stage: of, state: "", range: wanted, sort: metric, down: true });
      state.value = "";
      choose();
      place.scrollIntoView();
      place.querySelector("table").focus();
    });
    cell.replaceChildren(button);
  }
  const table = make("table", { tabIndex: -1 }, make("caption", { textContent: "Tasks" }), make("thead", {}, head), body);
  place.append(
    make("div", { className: "controls" }, stage, state, range, status, ...buttons),
    make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Table of tasks" }, table),
  );
  choose();
  place.hidden = false;
  document.getElementById("some-tasks")?.remove();
})();
