// Small parts that several views have.

import type { Verdict } from "@introducer/client";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { clip, moment } from "./visible.js";

/** Nothing but spaces, and letters that look like them: the fillers of Hangul, the empty cell of Braille. */
const blank = /^[\s\u115f\u1160\u2800\u3164\uffa0]*$/;

/** A stranger's text: one line, nothing hidden in it, and no influence on the order of what is around. */
export function Said({ text, most = 120, none = "none" }: { text: string; most?: number; none?: string }) {
  if (text === "") return <span class="quiet">{none}</span>;
  if (blank.test(text)) return <span class="quiet">blank</span>;
  return <bdi class="said">{clip(text, most)}</bdi>;
}

/** A peer id shortened for tables: who needs it all finds it on the peer's page. */
export function shortId(id: string): string {
  return `${id.slice(0, 11)}…${id.slice(-4)}`;
}

export function Time({ at, children }: { at: Date; children?: ComponentChildren }) {
  return (
    <time dateTime={at.toISOString()} title={`${moment(at)} UTC`}>
      {children ?? `${moment(at)} UTC`}
    </time>
  );
}

const verdicts: Record<Verdict, { sign: string; text: string }> = {
  verified: { sign: "✓", text: "signature verified" },
  forged: { sign: "✕", text: "forged" },
  checking: { sign: "·", text: "signature being checked" },
};

/** Whether a signature verified, as a sign with its meaning behind it. */
export function Mark({ verdict, reason }: { verdict: Verdict; reason?: string | undefined }) {
  const { sign, text } = verdicts[verdict];
  return (
    <span class={`mark ${verdict}`} title={reason === undefined ? text : `${text}: ${clip(reason, 300)}`}>
      <span aria-hidden="true">{sign}</span>
      <span class="hidden">{text}</span>
    </span>
  );
}

/** Puts text on the clipboard. Pages without TLS have none: there is no button then. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  if ((navigator.clipboard as Clipboard | undefined) === undefined) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setDone(true), () => setDone(false));
  return (
    <button type="button" class="small" onClick={copy} aria-label={`Copy ${what}`}>
      {done ? "Copied" : "Copy"}
    </button>
  );
}

export function Field({ name, class: cls = "", children }: { name: string; class?: string; children: ComponentChildren }) {
  return (
    <div class={`field ${cls}`}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const quiet = 5000; // ms

/** Says to whoever listens to the page what is so now, and never two things within five seconds. */
export function Announcer({ text }: { text: string }) {
  const [said, setSaid] = useState("");
  const last = useRef(-quiet);
  useEffect(() => {
    const timer = setTimeout(() => {
      last.current = performance.now();
      setSaid(text);
    }, Math.max(500, last.current + quiet - performance.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <span class="hidden" role="status" aria-live="polite">
      {said}
    </span>
  );
}
