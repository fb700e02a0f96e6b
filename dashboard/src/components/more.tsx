/** A list of which there may be more. */
interface Growing {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => Promise<unknown>;
}

/** Asks for the next page of a list, if there is one. */
export function More({ list, children }: { list: Growing; children: React.ReactNode }) {
  if (!list.hasNextPage) return null;
  return (
    <div className="row" style={{ justifyContent: "center" }}>
      <button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
        {list.isFetchingNextPage ? "Loading…" : children}
      </button>
    </div>
  );
}
