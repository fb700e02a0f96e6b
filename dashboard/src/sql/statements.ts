// A script's statements, as the command line splits it: at semicolons that are in no literal and no comment.

import { tokens } from "../code/tokens";

export interface Statement {
  text: string;
  /** Where it begins in the script: an offset, and the line and column of it (from one). */
  from: number;
  /** The offset behind its last letter. */
  to: number;
  line: number;
  column: number;
  /** Whether it only changes what later statements see. */
  isSetup: boolean;
}

const SETUP = /^(create|drop|set|reset|deallocate)\b/i;

/** The statements; pieces with nothing but spaces and comments are none. */
export function statements(script: string): Statement[] {
  const found: Statement[] = [];
  let from = 0;
  // Where the first word is; a comment is not one.
  let begins: number | undefined;
  let at = 0;
  const close = (to: number) => {
    if (begins !== undefined) {
      const before = script.slice(0, begins);
      const text = script.slice(begins, to).trimEnd();
      const line = before.split("\n").length;
      const column = begins - before.lastIndexOf("\n");
      found.push({ text, from, to: begins + text.length, line, column, isSetup: SETUP.test(text) });
    }
    begins = undefined;
  };
  for (const token of tokens("sql", script)) {
    if (token.kind !== "comment") {
      for (let index = 0; index < token.text.length; index += 1) {
        const letter = token.text.charAt(index);
        if (letter === ";" && token.kind === "text") {
          close(at + index);
          from = at + index + 1;
        } else if (begins === undefined && letter.trim() !== "") {
          begins = at + index;
        }
      }
    }
    at += token.text.length;
  }
  close(script.length);
  return found;
}

/** The statement in which a caret stands, or the last before it. */
export function statementAt(all: Statement[], caret: number): Statement | undefined {
  return all.findLast((statement) => statement.from <= caret) ?? all[0];
}

/** What to send to run a statement: itself, and those before it that it may need. */
export function withSetup(all: Statement[], chosen: Statement): { statement: string; setup: string[] } {
  const before = all.slice(0, all.indexOf(chosen));
  return { statement: chosen.text, setup: before.filter((one) => one.isSetup).map((one) => one.text) };
}

/** A place in a statement as the place in the script that has it; lines and columns from one. */
export function inScript(statement: Statement, line: number, column: number): { line: number; column: number } {
  return line === 1
    ? { line: statement.line, column: column + statement.column - 1 }
    : { line: statement.line + line - 1, column };
}
