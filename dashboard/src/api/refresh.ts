// Asking again for what has changed: at a bounded rate, however fast it changes, and never without a reason.

import type { QueryClient, QueryFilters } from "@tanstack/react-query";

/** Milliseconds between the beginnings of two refreshes of the same. */
const PAUSE = 2000;

interface Refresh {
  filters: QueryFilters;
  /** Whether it changed since the last refresh began. */
  wanted: boolean;
  /** Whether a refresh is under way. */
  busy: boolean;
  began: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Refreshes queries by a name; those of a name one after the other. */
export class Refresher {
  private readonly known = new Map<string, Refresh>();

  constructor(private readonly client: QueryClient) {}

  /** What the filters find has changed; `atOnce` when nothing more will change soon. */
  ask(name: string, filters: QueryFilters, atOnce = false): void {
    const refresh = this.known.get(name) ?? { filters, wanted: false, busy: false, began: 0, timer: undefined };
    this.known.set(name, refresh);
    refresh.filters = filters;
    refresh.wanted = true;
    if (!refresh.busy) this.plan(name, refresh, atOnce ? 0 : refresh.began + PAUSE - Date.now());
  }

  private plan(name: string, refresh: Refresh, wait: number): void {
    clearTimeout(refresh.timer);
    refresh.timer = setTimeout(() => void this.begin(name, refresh), Math.max(0, wait));
  }

  private async begin(name: string, refresh: Refresh): Promise<void> {
    if (!refresh.wanted) {
      this.known.delete(name);
      return;
    }
    refresh.wanted = false;
    refresh.busy = true;
    refresh.began = Date.now();
    // Queries keep their errors themselves.
    await this.client.invalidateQueries(refresh.filters).catch(() => undefined);
    refresh.busy = false;
    this.plan(name, refresh, refresh.began + PAUSE - Date.now());
  }
}
