// Server-sent events, read from the text of an answer: the browser's own reader can not send headers.

export interface ServerEvent {
  type: string;
  data: string;
  /** The id that the server wants to hear when the stream is asked for again. */
  id: string | undefined;
}

/** Takes pieces of the text of a stream as they come; gives the events that they complete. */
export class EventReader {
  private rest = "";
  private type = "";
  private data: string[] = [];
  private id: string | undefined;

  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line, events);
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ type: this.type || "message", data: this.data.join("\n"), id: this.id });
      this.type = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    // A line that begins with a colon is a comment, which keeps the connection.
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.type = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
  }
}
