import type { Paged } from "../api/paged";

/** Asks for the next page of a list, if there is one. */
export function More<T>({ list, children }: { list: Paged<T>; children: React.ReactNode }) {
  if (!list.hasNextPage) return null;
  return (
    <div className="row" style={{ justifyContent: "center" }}>
      <button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
        {list.isFetchingNextPage ? "Loading…" : children}
      </button>
    </div>
  );
}
