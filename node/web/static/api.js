// The node's API (docs/api.md): answers as data, and events as they happen.

export class Unreachable extends Error {}
export class Refused extends Error {}

/** The answer to /api/PATH. Throws Unreachable when the node is not there, Refused with its words. */
export async function get(path) {
  let response;
  try {
    response = await fetch(`/api/${path}`, { headers: { Accept: "application/json" } });
  } catch (error) {
    throw new Unreachable(String(error));
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(body?.error ?? `the node answered ${response.status}`);
  return body;
}

const KINDS = ["result", "calibration", "hypothesis", "insight", "profile", "model", "confirmed", "trial", "peer", "sync", "note", "trouble", "listening", "stopped"];
const AGAIN_MS = 3000;

/** Listen to the node for as long as the page is open. hears: event(data), nudge(kind), up(), down(). */
export function listen(hears) {
  const source = new EventSource("/api/events");
  for (const kind of KINDS) source.addEventListener(kind, (message) => hears.event(JSON.parse(message.data)));
  for (const kind of ["progress", "changed", "reset"]) source.addEventListener(kind, () => hears.nudge(kind));
  source.addEventListener("hello", () => hears.up());
  source.onerror = () => {
    hears.down();
    if (source.readyState === EventSource.CLOSED) {  // refused, and the browser gave up
      setTimeout(() => listen(hears), AGAIN_MS);
    }
  };
}
