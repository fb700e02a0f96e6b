import { describe, expect, it } from "vitest";

import { inScript, statementAt, statements, withSetup } from "./statements";

const script = `-- views; first
CREATE VIEW v AS SELECT ';' AS a;

SELECT * /* ; */
FROM v;  select "x;y"
`;

describe("statements", () => {
  it("are split where a semicolon is one", () => {
    expect(statements(script).map(({ text }) => text)).toEqual([
      "CREATE VIEW v AS SELECT ';' AS a",
      "SELECT * /* ; */\nFROM v",
      'select "x;y"',
    ]);
    expect(statements(" ; -- nothing\n;")).toEqual([]);
  });

  it("know where they begin", () => {
    expect(statements(script).map(({ line, column }) => [line, column])).toEqual([
      [2, 1],
      [4, 1],
      [5, 10],
    ]);
  });

  it("run with the definitions before them", () => {
    const all = statements(script);
    const chosen = statementAt(all, script.indexOf("FROM v"));
    expect(chosen && withSetup(all, chosen)).toEqual({
      statement: "SELECT * /* ; */\nFROM v",
      setup: ["CREATE VIEW v AS SELECT ';' AS a"],
    });
    expect(statementAt(all, 10_000)?.text).toBe('select "x;y"');
    expect(statementAt(all, 0)?.isSetup).toBe(true);
    expect(statementAt([], 0)).toBeUndefined();
  });

  it("say where in the script something in them is", () => {
    const [, second, third] = statements(script);
    expect(second && inScript(second, 2, 6)).toEqual({ line: 5, column: 6 });
    expect(third && inScript(third, 1, 8)).toEqual({ line: 5, column: 17 });
    expect(script.split("\n")[4]?.slice(16)).toBe('"x;y"');
  });
});
