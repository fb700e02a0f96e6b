// What changes, as the server tells it: one stream for the whole tab, which goes on where it was cut.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { EventReader, type ServerEvent } from "../lib/sse";
import { apply } from "./changes";
import { api, Problem } from "./client";

/** Milliseconds before the first attempt to come again, doubled up to the longest. */
const AGAIN = 500;
const LONGEST = 15_000;
/** Without a sign of life for so long the connection is lost; the server gives one every 15 seconds. */
const SILENCE = 40_000;
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
  private readonly listeners = new Set<() => void>();
  /** The topics of the connection that is open. */
  private open: ReadonlySet<string> = new Set();
  private ended = new Set<string>();
  private lastId: string | undefined;
  private connection = new AbortController();
  private change: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly client: QueryClient) {
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

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Whether what happens to a topic arrives by itself. */
  isLive(topic: string): boolean {
    return this.open.has(topic);
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
    while (!signal.aborted) {
      const topics = this.wanted();
      if (topics.length === 0) break;
      try {
        const heard = await this.connect(topics, signal);
        if (heard) wait = AGAIN;
      } catch (error) {
        // Whoever may not follow is not let in by asking again; pages ask for themselves then.
        if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) break;
      }
      this.setOpen([]);
      await pause(wait, signal);
      wait = Math.min(LONGEST, wait * 2);
    }
    if (this.connection.signal === signal) this.setOpen([]);
  }

  /** One connection, until it ends; whether it said anything. */
  private async connect(topics: string[], outer: AbortSignal): Promise<boolean> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
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
      this.setOpen(topics);
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
    const ended = apply(this.client, event);
    // What could not be taken is sent whole when the id is not known.
    if (event.id !== undefined) this.lastId = event.id;
    if (ended === undefined) return;
    this.ended.add(ended);
    this.setOpen([...this.open].filter((topic) => topic !== ended));
  }

  private setOpen(topics: string[]): void {
    if (topics.length === this.open.size && topics.every((topic) => this.open.has(topic))) return;
    this.open = new Set(topics);
    for (const listener of this.listeners) listener();
  }
}

let stream: Stream | undefined;

/** Follows a topic while the page is there; whether what happens to it arrives by itself. */
export function useFollow(topic: string | undefined): boolean {
  const client = useQueryClient();
  stream ??= new Stream(client);
  const shared = stream;
  useEffect(() => (topic === undefined ? undefined : shared.follow(topic)), [topic, shared]);
  return useSyncExternalStore(shared.subscribe, () => topic !== undefined && shared.isLive(topic));
}
