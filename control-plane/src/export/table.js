// All tasks of the run, sorted and chosen in the page. Without scripts, the table of those that took longest stays.
(async () => {
  "use strict";
  const place = document.getElementById("all-tasks");
  const known = await weirAttempts;
  if (!place || !known) return;
  const { columns, words, word, count, size, micros, millis, make } = known;
  const PAGE = 200;

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
  for (let row = 0; row < known.rows; row += 1) if (columns.attempts[row] > 0) all.push(row);
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
