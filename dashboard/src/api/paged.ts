// Lists that come in pages, each of which names the next.

import { useInfiniteQuery, type InfiniteData, type UseInfiniteQueryResult } from "@tanstack/react-query";

/** A page of a list. */
export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export type Paged<T> = UseInfiniteQueryResult<InfiniteData<Page<T>>>;

/** A list, page by page. */
export function usePaged<T>(
  queryKey: readonly unknown[],
  page: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
): Paged<T> {
  return useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => page(pageParam === "" ? undefined : pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last: Page<T>) => last.next_cursor ?? undefined,
  });
}

/** The rows of the pages that are here. */
export function rowsOf<T>(list: Paged<T>): T[] {
  return list.data?.pages.flatMap((page) => page.items) ?? [];
}
