import { useCallback, useState } from "react";

import { MOST } from "../api/queries";

/** Lines or events that are asked for at once. */
const STEP = 1000;

/** How many of a long list to have: more when its end comes into sight, and all that fit while they are searched. */
export function useWanted(searching: boolean): [number, (known: number) => void] {
  const [wanted, setWanted] = useState(STEP);
  const more = useCallback((known: number) => setWanted((old) => Math.min(MOST, Math.max(old, known + STEP))), []);
  return [searching ? MOST : wanted, more];
}
