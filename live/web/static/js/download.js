/** Files that need a token: asked for with it, then handed to the person as any download. */
import { problemOf } from "./api.js";

const DEADLINE_MS = 120_000;
const REVOKE_MS = 60_000;

/** Fetches `path` and saves it under `name`. Throws a Problem where the server refuses. */
export async function download(path, token, name) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!response.ok) throw await problemOf(response);
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  Object.assign(link, { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), REVOKE_MS);
}
