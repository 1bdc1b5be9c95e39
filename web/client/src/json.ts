// JSON as an announcement has it: RFC 8259 and moreover I-JSON (RFC 7493). JSON.parse takes the last of
// two members of one name, makes floats of all numbers and lets halves of surrogate pairs pass, so that
// two readers would read two announcements from the same signed bytes.

import { clip } from "./bytes.js";

/** A number as it is written. No float is made of it. */
export class JsonNumber {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;

/** :: member name → value, in the order written. */
export type JsonObject = Map<string, Json>;

/**
 * Reads one JSON value with white space around it and nothing else. Containers nest at most depth deep.
 * It throws a SyntaxError that says where, counted in UTF-16 units from 0.
 */
export function parseJson(text: string, depth: number): Json {
  const p = new Parser(text, depth);
  const value = p.value();
  p.end();
  return value;
}

/** What a value is, for an error. */
export function kindOf(value: Json): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return "a boolean";
  if (typeof value === "string") return "a string";
  if (value instanceof JsonNumber) return "a number";
  return Array.isArray(value) ? "a list" : "an object";
}

const literals = { true: true, false: false, null: null } as const;
const escapes: Record<string, string> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

class Parser {
  #at = 0;
  #depth = 0;

  constructor(
    readonly text: string,
    readonly most: number,
  ) {}

  value(): Json {
    this.#space();
    const c = this.text.charAt(this.#at);
    if (c === "{") return this.#nested(() => this.#object());
    if (c === "[") return this.#nested(() => this.#list());
    if (c === '"') return this.#string();
    const word = this.#match(/true|false|null/y);
    if (word !== undefined) return literals[word as keyof typeof literals];
    const number = this.#match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (number !== undefined) return new JsonNumber(number);
    throw this.#wrong();
  }

  end(): void {
    this.#space();
    if (this.#at < this.text.length) {
      throw new SyntaxError(`something follows the JSON value, at character ${this.#at}`);
    }
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > this.most) {
      throw new SyntaxError(`nested more than ${this.most} deep at character ${this.#at}`);
    }
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): JsonObject {
    const members: JsonObject = new Map();
    for (let first = true; !this.#take("}"); first = false) {
      if (!first) this.#expect(",");
      this.#space();
      const at = this.#at;
      const name = this.#string();
      if (members.has(name)) {
        throw new SyntaxError(`not strict JSON at character ${at}: member ${clip(name)} is there twice`);
      }
      this.#expect(":");
      members.set(name, this.value());
    }
    return members;
  }

  #list(): Json[] {
    const all: Json[] = [];
    for (let first = true; !this.#take("]"); first = false) {
      if (!first) this.#expect(",");
      all.push(this.value());
    }
    return all;
  }

  #string(): string {
    const begin = this.#at;
    this.#expect('"');
    let s = "";
    for (;;) {
      s += this.#match(/[^"\\\u0000-\u001f]*/y);
      const c = this.text.charAt(this.#at);
      if (c === '"') break;
      if (c !== "\\") throw this.#wrong(); // a control character, or the end
      this.#at++;
      const plain = escapes[this.text.charAt(this.#at)];
      if (plain !== undefined) {
        s += plain;
        this.#at++;
        continue;
      }
      const unit = this.#match(/u[0-9a-fA-F]{4}/y);
      if (unit === undefined) throw this.#wrong();
      s += String.fromCharCode(parseInt(unit.slice(1), 16));
    }
    this.#at++;
    if (/\p{Surrogate}/u.test(s)) {
      throw new SyntaxError(`not strict JSON at character ${begin}: half a surrogate pair`);
    }
    return s;
  }

  #space(): void {
    this.#match(/[ \t\n\r]*/y);
  }

  #take(c: string): boolean {
    this.#space();
    if (this.text.charAt(this.#at) !== c) return false;
    this.#at++;
    return true;
  }

  #expect(c: string): void {
    if (!this.#take(c)) throw this.#wrong();
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #wrong(): SyntaxError {
    return new SyntaxError(
      this.#at < this.text.length ? `not strict JSON at character ${this.#at}` : "not strict JSON: it ends too early",
    );
  }
}
