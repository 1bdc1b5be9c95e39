import { describe, expect, test } from "vitest";

import {
  allEndpoints,
  isService,
  maxMessage,
  parseAnnouncement,
  permutationSeed,
  type Announcement,
} from "../src/index.js";
import { utf8 } from "./support.js";

const plain: Announcement = {
  service: "storage",
  seqnum: 1n,
  nickname: "",
  furl: "",
  nurls: [],
  endpoints: [],
  withdrawn: false,
};
const members = (more: string) => `{"service-name":"storage","seqnum":1,${more}}`;
const nested = (n: number) => "[".repeat(n) + "]".repeat(n);
const list = (n: number, entry: string) => JSON.stringify(new Array(n).fill(entry));
const sized = (n: number) => members('"x":""').replace('""', `"${"x".repeat(n - members('"x":""').length)}"`);

describe("reads", () => {
  const cases: Record<string, [string, Partial<Announcement>]> = {
    "the least": ['{"service-name":"storage","seqnum":0}', { seqnum: 0n }],
    "white space": [' \t\r\n{ "service-name" : "storage" ,\n"seqnum":1 } \n', {}],
    "the largest seqnum": ['{"service-name":"storage","seqnum":9223372036854775807}', { seqnum: (1n << 63n) - 1n }],
    "a seqnum that no float is": ['{"service-name":"storage","seqnum":9007199254740993}', { seqnum: (1n << 53n) + 1n }],
    "the longest service": [`{"service-name":"a${"-".repeat(63)}","seqnum":1}`, { service: "a" + "-".repeat(63) }],
    "the longest nickname": [members(`"nickname":"${"é".repeat(128)}"`), { nickname: "é".repeat(128) }],
    "escapes count as they mean": [members(`"nickname":"${"\\u00e9".repeat(128)}"`), { nickname: "é".repeat(128) }],
    "all escapes": [members('"nickname":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"'), { nickname: '"\\/\b\f\n\r\tA' }],
    "a surrogate pair": [members('"nickname":"\\ud83d\\udcbe"'), { nickname: "💾" }],
    "NUL in a nickname": [members('"nickname":"\\u0000"'), { nickname: "\0" }],
    "an empty seed": [members('"permutation-seed-base32":""'), { permutationSeed: new Uint8Array() }],
    "the longest seed": [
      members(`"permutation-seed-base32":"${"a".repeat(103)}"`),
      { permutationSeed: new Uint8Array(64) },
    ],
    "FURL and NURLs": [
      members('"anonymous-storage-FURL":"f","anonymous-storage-NURLs":["n","m"]'),
      { furl: "f", nurls: ["n", "m"] },
    ],
    "more NURLs than endpoints": [
      members(`"anonymous-storage-NURLs":${list(17, "n")}`),
      { nurls: new Array<string>(17).fill("n") },
    ],
    "16 endpoints of 1,000": [
      members(`"endpoints":${list(16, "e".repeat(900))}`),
      { endpoints: new Array<string>(16).fill("e".repeat(900)) },
    ],
    "an endpoint of 1,000": [members(`"endpoints":${list(1, "e".repeat(1000))}`), { endpoints: ["e".repeat(1000)] }],
    "a year": [members('"ttl-seconds":31536000'), { ttlSeconds: 31536000 }],
    withdrawn: [members('"withdrawn":true'), { withdrawn: true }],
    "names in another case": [members('"Seqnum":"x","SERVICE-NAME":null,"Withdrawn":true'), {}],
    "any other member": [members('"":null,"version":0,"n":-1.5e300,"my-version":{"a":[1,{"a":2}]}'), {}],
    "names that objects have": [members('"__proto__":1,"constructor":{"toString":2}'), {}],
    "numbers beyond any float": [members('"n":1e999999'), {}],
    "16 deep": [members(`"x":${nested(15)}`), {}],
    "the largest": [sized(maxMessage), {}],
  };
  test.each(Object.entries(cases))("%s", (_, [message, want]) => {
    expect(parseAnnouncement(utf8(message))).toEqual({ ...plain, ...want });
  });
});

describe("refuses", () => {
  const cases: Record<string, [string | Uint8Array, string]> = {
    nothing: ["", "ends too early"],
    "a byte order mark": ["\ufeff" + members('"x":1'), "not strict JSON at character 0"],
    "not JSON": ["storage", "not strict JSON at character 0"],
    null: ["null", "must be one JSON object, is null"],
    "a list": ["[1]", "must be one JSON object, is a list"],
    cut: ['{"service-name":"storage","seqnum":1', "ends too early"],
    "cut in a string": ['{"service-name":"stor', "ends too early"],
    "a comma too many": ['{"service-name":"storage","seqnum":1,}', "not strict JSON at character 37"],
    "a comma too many in a list": [members('"x":[1,]'), "not strict JSON"],
    "no comma": ['{"service-name":"storage" "seqnum":1}', "not strict JSON at character 26"],
    "a comment": ['{"service-name":"storage",/**/"seqnum":1}', "not strict JSON at character 26"],
    "single quotes": ["{'service-name':'storage'}", "not strict JSON at character 1"],
    "another object": [members('"x":1') + "{}", "something follows"],
    "a NUL behind": [members('"x":1') + "\0", "something follows"],
    "another white space": [members('"x":\u00a01'), "not strict JSON"],
    "too large": [sized(maxMessage + 1), "16385 bytes, at most 16384 are allowed"],
    "not UTF-8": [Uint8Array.of(...utf8(members('"x":"')), 0xff, 0x22, 0x7d), "not UTF-8"],
    "UTF-8 of a surrogate": [Uint8Array.of(...utf8(members('"x":"')), 0xed, 0xa0, 0x80, 0x22, 0x7d), "not UTF-8"],
    "half a surrogate pair": [members('"x":"\\ud800"'), "half a surrogate pair"],
    "halves in the wrong order": [members('"x":"\\udcbe\\ud83d"'), "half a surrogate pair"],
    "half a pair in a name": [members('"\\udfff":1'), "half a surrogate pair"],
    "an escape that is none": [members('"x":"\\x41"'), "not strict JSON"],
    "an escape cut": [members('"x":"\\u00e"'), "not strict JSON"],
    "a control character": [members('"x":"\n"'), "not strict JSON"],
    "a member twice": ['{"service-name":"storage","seqnum":1,"seqnum":1}', 'member "seqnum" is there twice'],
    "a member twice, escaped": ['{"service-name":"storage","seqnum":1,"seq\\u006eum":2}', "is there twice"],
    "twice below": [members('"x":[{"a":{"b":1,"c":2,"b":3}}]'), "is there twice"],
    "17 deep": [members(`"x":${nested(16)}`), "nested more than 16 deep"],
    "very deep": [members(`"x":${"[".repeat(16000)}`), "nested more than 16 deep"],
    "a number with a zero": [members('"x":01'), "not strict JSON"],
    "a number with a plus": [members('"x":+1'), "not strict JSON"],
    "a number with a point alone": [members('"x":1.'), "not strict JSON"],
    NaN: [members('"x":NaN'), "not strict JSON"],
    "no service": ['{"seqnum":1}', 'member "service-name" is missing'],
    "service null": ['{"service-name":null,"seqnum":1}', "must be a string, is null"],
    "no service name": ['{"service-name":"Storage","seqnum":1}', 'service name "Storage"'],
    "no seqnum": ['{"service-name":"storage"}', 'member "seqnum" is missing'],
    "seqnum negative": ['{"service-name":"storage","seqnum":-1}', "digits alone"],
    "seqnum minus zero": ['{"service-name":"storage","seqnum":-0}', "digits alone"],
    "seqnum with a fraction": ['{"service-name":"storage","seqnum":1.0}', "digits alone"],
    "seqnum with a power": ['{"service-name":"storage","seqnum":1e0}', "digits alone"],
    "seqnum 2^63": ['{"service-name":"storage","seqnum":9223372036854775808}', "must be from 0 to 9223372036854775807"],
    "seqnum a string": ['{"service-name":"storage","seqnum":"1"}', "must be an integer, is a string"],
    "nickname too long": [members(`"nickname":"${"é".repeat(128)}n"`), "257 bytes, at most 256 are allowed"],
    "nickname null": [members('"nickname":null'), "must be a string, is null"],
    "seed in capitals": [members('"permutation-seed-base32":"AA"'), "base32 at character 1"],
    "seed with bits left": [members('"permutation-seed-base32":"ab"'), "no bytes give"],
    "seed too long": [
      members(`"permutation-seed-base32":"${"a".repeat(104)}"`),
      "is of 65 bytes, at most 64 are allowed",
    ],
    "FURL a list": [members('"anonymous-storage-FURL":["x"]'), "must be a string, is a list"],
    "NURLs a string": [members('"anonymous-storage-NURLs":"x"'), "must be a list of strings, is a string"],
    "endpoints with null": [members('"endpoints":[null]'), "must be a list of strings, is null"],
    "17 endpoints": [members(`"endpoints":${list(17, "e")}`), "more than 16 entries"],
    "endpoint of 1,001": [members(`"endpoints":${list(1, "e".repeat(1001))}`), "1001 bytes, at most 1000 are allowed"],
    "ttl 0": [members('"ttl-seconds":0'), "must be from 1 to 31536000"],
    "ttl over a year": [members('"ttl-seconds":31536001'), "must be from 1 to 31536000"],
    "withdrawn 1": [members('"withdrawn":1'), "must be true or false, is a number"],
    "withdrawn null": [members('"withdrawn":null'), "must be true or false, is null"],
  };
  test.each(Object.entries(cases))("%s", (_, [message, want]) => {
    const refusal = (() => {
      try {
        return parseAnnouncement(typeof message === "string" ? utf8(message) : message);
      } catch (e) {
        return e;
      }
    })();
    expect(refusal).toBeInstanceOf(SyntaxError);
    expect((refusal as Error).message).toContain(want);
    expect((refusal as Error).message.length).toBeLessThan(400);
  });
});

test("errors stay short, whatever was sent", () => {
  const long = "n".repeat(8000);
  for (const message of [
    `{"service-name":"${long}","seqnum":1}`,
    members(`"${long}":1,"${long}":2`),
    members(`"permutation-seed-base32":"${long}"`),
  ]) {
    expect(() => parseAnnouncement(utf8(message))).toThrow(/^.{1,400}$/);
  }
});

test("endpoints: FURL, NURLs, endpoints, each once and none empty", () => {
  const a = { ...plain, furl: "x", nurls: ["y", "x", "", "y"], endpoints: ["x", "z", "y"] };
  expect(allEndpoints(a)).toEqual(["x", "y", "z"]);
  expect(allEndpoints(plain)).toEqual([]);
});

test("the seed: announced, also an empty one, or else the peer id", () => {
  const id = Uint8Array.of(1, 2);
  expect(permutationSeed(plain, id)).toBe(id);
  expect(permutationSeed({ ...plain, permutationSeed: new Uint8Array() }, id)).toEqual(new Uint8Array());
});

test("service names", () => {
  for (const name of ["a", "storage", "upload_storage", "a0_-", "z".repeat(64)])
    expect(isService(name), name).toBe(true);
  for (const name of ["", "A", "0a", "_a", "a b", "a.b", "aé", "a\n", "a\0", "z".repeat(65)]) {
    expect(isService(name), JSON.stringify(name)).toBe(false);
  }
});
