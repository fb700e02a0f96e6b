/** A key that no other request has, for `Idempotency-Key`. It works on plain HTTP, too. */
export function requestKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
