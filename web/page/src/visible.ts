// A stranger's text made fit to be looked at. The rules are those of the Go package web/visible, and
// the same table tests both; markup is no matter here, since the page only ever sets text.

const hidden = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;
const allHidden = new RegExp(hidden, "gu");

/** Writes whatever does not print as an escape: `\u{202e}`. Lone surrogates are such, too. */
export function visible(s: string): string {
  return hidden.test(s) ? s.replace(allHidden, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`) : s;
}

/** The visible form of s in at most n characters, the last of which is then "…". Marks count as characters. */
export function clip(s: string, n: number): string {
  const shown = visible(s.slice(0, 4 * n)); // what is behind cannot show
  if (shown.length <= n) return shown;
  const chars = Array.from(shown);
  return chars.length <= n ? shown : chars.slice(0, n - 1).join("") + "…";
}

/**
 * Scheme and host of an endpoint, and "…" for the rest: whoever knows all of a FURL or NURL may use the
 * service. Of several places the first is shown; what has no host shows its scheme, what has no scheme
 * nothing.
 */
export function endpointHost(s: string): string {
  const colon = s.indexOf(":");
  const scheme = s.slice(0, colon);
  if (colon < 1 || colon > 20 || !/^[a-zA-Z][a-zA-Z0-9+.-]*$/.test(scheme)) return "…";
  if (!s.startsWith("//", colon + 1)) return scheme + ":…";
  const [, authority, rest] = /^([^/?#]*)(.*)$/s.exec(s.slice(colon + 3))!;
  const places = authority!.slice(authority!.lastIndexOf("@") + 1).split(",");
  const host = places[0]!.replace(/^tcp:/, "");
  const more = places.length > 1 || (rest !== "" && rest !== "/");
  return `${scheme}://${clip(host, 80)}${more ? "/…" : ""}`;
}

/** A number with its thousands apart: 1,234,567. */
export function count(n: number | bigint): string {
  return n.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

const units: [number, string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** A time span in two units at most, rounded down: 3.2 ms, 41 s, 5 min 7 s, 3 h 20 min, 12 d 5 h. */
export function span(seconds: number): string {
  if (seconds < 0) return "−" + span(-seconds);
  if (seconds < 1) return `${(Math.floor(seconds * 10000) / 10).toString()} ms`;
  const i = units.findIndex(([size]) => seconds >= size);
  const [size, name] = units[i]!;
  const first = `${Math.floor(seconds / size)} ${name}`;
  const small = units[i + 1];
  return small === undefined ? first : `${first} ${Math.floor((seconds % size) / small[0])} ${small[1]}`;
}

/** Like span, in its larger unit alone: what a table has room for. */
export function about(seconds: number): string {
  const [size, name] = units.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(Math.max(0, seconds) / size)} ${name}`;
}

/** How long ago, for a table: "now", "7 s ago", "3 h ago". */
export function ago(then: Date, now: number): string {
  const seconds = (now - then.getTime()) / 1000;
  return seconds < 1 ? "now" : about(seconds) + " ago";
}

/** When, in UTC to the second: 2026-11-23 09:00:00. */
export function moment(t: Date): string {
  return t.toISOString().slice(0, 19).replace("T", " ");
}
