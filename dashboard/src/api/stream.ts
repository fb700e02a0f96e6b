// What changes, as the server tells it: one stream for the whole tab, which goes on where it was cut.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { EventReader, type ServerEvent } from "../lib/sse";
import { Changes } from "./changes";
import { api, Problem } from "./client";

/** Milliseconds before the first attempt to come again, doubled up to the longest. */
const AGAIN = 500;
const LONGEST = 15_000;
/** Without a sign of life for so long the connection is lost; the server gives one every 15 seconds. */
const SILENCE = 40_000;
/** The first words come at once, unless something on the way holds them back. */
const FIRST_WORDS = 10_000;
/** A tab that nobody sees gives its connection back after so long. */
const HIDDEN = 20_000;

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

class Stream {
  /** How many parts of the page follow each topic. */
  private readonly topics = new Map<string, number>();
  /** The topics of the connection that is open. */
  private open: ReadonlySet<string> = new Set();
  private ended = new Set<string>();
  private lastId: string | undefined;
  private connection = new AbortController();
  private change: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;

  private readonly changes: Changes;

  constructor(client: QueryClient) {
    this.changes = new Changes(client);
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.hiding);
      if (document.hidden) this.hiding = setTimeout(() => this.connection.abort(), HIDDEN);
      else if (this.connection.signal.aborted) this.reconnect();
    });
  }

  /** Follows a topic until the returned function is called. */
  follow(topic: string): () => void {
    this.topics.set(topic, (this.topics.get(topic) ?? 0) + 1);
    this.reconsider();
    return () => {
      const left = (this.topics.get(topic) ?? 1) - 1;
      if (left > 0) this.topics.set(topic, left);
      else this.topics.delete(topic);
      this.reconsider();
    };
  }

  /** Pages come and go; the connection follows when they have settled. */
  private reconsider(): void {
    clearTimeout(this.change);
    this.change = setTimeout(() => {
      const wanted = this.wanted();
      const same = wanted.length === this.open.size && wanted.every((topic) => this.open.has(topic));
      if (!same) this.reconnect();
    }, 60);
  }

  private wanted(): string[] {
    return [...this.topics.keys()].filter((topic) => !this.ended.has(topic)).sort();
  }

  private reconnect(): void {
    this.connection.abort();
    this.connection = new AbortController();
    void this.run(this.connection.signal);
  }

  private async run(signal: AbortSignal): Promise<void> {
    let wait = AGAIN;
    const left = () => signal.aborted;
    while (!left()) {
      const topics = this.wanted();
      if (topics.length === 0) break;
      try {
        if (await this.connect(topics, signal)) wait = AGAIN;
      } catch (error) {
        // The reader is asked who they are; whatever they see then is new.
        if (error instanceof Problem && error.status === 401) break;
        // While nothing tells of changes, pages look for them: the only place where they do.
        if (!left()) for (const topic of topics) this.changes.refresh(topic);
      }
      if (!left()) this.open = new Set();
      await pause(wait, signal);
      wait = Math.min(LONGEST, wait * 2);
    }
    if (this.connection.signal === signal) this.open = new Set();
  }

  /** One connection, until it ends; whether it said anything. */
  private async connect(topics: string[], outer: AbortSignal): Promise<boolean> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), FIRST_WORDS);
    const query = { topics: topics.join(","), ...(this.lastId ? { last_event_id: this.lastId } : {}) };
    try {
      const signal = AbortSignal.any([outer, silence.signal]);
      const { data, error, response } = await api.GET("/api/v1/stream", {
        params: { query },
        parseAs: "stream",
        signal,
      });
      if (response.status === 204) {
        for (const topic of topics) this.ended.add(topic);
        return true;
      }
      if (!data) throw new Problem(response.status, error);
      this.open = new Set(topics);
      const reader = data.pipeThrough(new TextDecoderStream()).getReader();
      const events = new EventReader();
      let heard = false;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return heard;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        for (const event of events.push(value)) {
          heard = true;
          this.take(event);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private take(event: ServerEvent): void {
    const ended = this.changes.take(event);
    // What could not be taken is sent whole when the id is not known.
    if (event.id !== undefined) this.lastId = event.id;
    if (ended === undefined) return;
    this.ended.add(ended);
    this.open = new Set([...this.open].filter((topic) => topic !== ended));
  }
}

let stream: Stream | undefined;

/** Follows a topic while the page is there: what changes of it arrives by itself. */
export function useFollow(topic: string | undefined): void {
  const client = useQueryClient();
  stream ??= new Stream(client);
  const shared = stream;
  useEffect(() => (topic === undefined ? undefined : shared.follow(topic)), [topic, shared]);
}
