import { useAddress } from "../lib/address";
import { useSession } from "../session/session";

export type Scope = "namespace" | "service";

/** What a list of the settings is about: the whole service only for those who may see it. */
export function useScope(): Scope {
  const session = useSession();
  const [address] = useAddress();
  return address.get("scope") === "service" && session.whole_service ? "service" : "namespace";
}

/** Chooses what the list is about, where there is a choice: `own`, or else the namespace, or the whole service. */
export function ScopeChips({ own }: { own?: string }) {
  const session = useSession();
  const [, setAddress] = useAddress();
  const scope = useScope();
  if (!session.whole_service) return null;
  return (
    <div className="chips" role="group" aria-label="Whose">
      <button aria-pressed={scope === "namespace"} onClick={() => setAddress({ scope: null })}>
        {own ?? session.namespace}
      </button>
      <button aria-pressed={scope === "service"} onClick={() => setAddress({ scope: "service" })}>
        Whole service
      </button>
    </div>
  );
}
