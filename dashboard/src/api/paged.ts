// Lists that come in pages, each of which names the next.

import { useInfiniteQuery, type InfiniteData, type UseInfiniteQueryResult } from "@tanstack/react-query";

/** A page of a list. */
export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export type Paged<T> = UseInfiniteQueryResult<InfiniteData<Page<T>>>;

/** A list, page by page; `everyMs` is how often its first page is asked for again while it is the only one. */
export function usePaged<T>(
  queryKey: readonly unknown[],
  page: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  everyMs?: number,
): Paged<T> {
  return useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => page(pageParam === "" ? undefined : pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last: Page<T>) => last.next_cursor ?? undefined,
    refetchInterval: (query) => (everyMs && (query.state.data?.pages.length ?? 0) <= 1 ? everyMs : false),
  });
}

/** The rows of the pages that are here. */
export function rowsOf<T>(list: Paged<T>): T[] {
  return list.data?.pages.flatMap((page) => page.items) ?? [];
}
