import type { ClientState } from "@introducer/client";

import { Announcer } from "./parts.js";
import { useNow } from "./store.js";
import { about, clip, count } from "./visible.js";

/** How it stands, in a word and in a sentence. */
function told(s: ClientState, now: number): { kind: string; word: string; more: string } {
  const heard = s.lastHeard === undefined ? "" : now - s.lastHeard.getTime() < 2000 ? "heard just now" : `last heard ${about((now - s.lastHeard.getTime()) / 1000)} ago`;
  switch (s.connection) {
    case "live":
      return { kind: "live", word: "Connected", more: heard };
    case "catching-up":
      return { kind: "busy", word: "Catching up", more: `${count(s.peers)} so far` };
    case "connecting":
      return { kind: "busy", word: "Connecting", more: heard };
    case "stopped":
      return { kind: "busy", word: "Paused", more: heard };
    case "lost": {
      const wait = s.retryAt === undefined ? "trying" : `next try in ${about(Math.max(0, s.retryAt.getTime() - now) / 1000)}`;
      return { kind: "lost", word: "Lost", more: heard === "" ? wait : `${heard}, ${wait}` };
    }
  }
}

/** The mark that says whether what the page shows is so now. */
export function Connection({ state }: { state: ClientState }) {
  const now = useNow();
  const { kind, word, more } = told(state, now);
  return (
    <div class={`connection ${kind}`} title={state.error === undefined ? more : clip(state.error.message, 300)}>
      <span class="dot" aria-hidden="true" />
      <strong>{word}</strong>
      <span class="more">{more}</span>
      <Announcer text={kind === "lost" ? "Connection lost" : word} />
    </div>
  );
}
