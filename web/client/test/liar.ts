import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createRouterTransport, type Transport } from "@connectrpc/connect";

import { allEndpoints, announcementDigest, parseAnnouncement, permutationSeed, type Signed } from "../src/index.js";
import {
  GoneReason,
  IntroducerService,
  PeerSchema,
  ResetReason,
  SubscribeResponseSchema,
  type Peer,
  type ReadLogResponseSchema,
  type SubscribeRequest,
  type SubscribeResponse,
} from "../src/gen/introducer/v1/introducer_pb.js";

type Event = MessageInitShape<typeof SubscribeResponseSchema>["event"] & object;
type Changed = { announced: Peer } | { gone: Signed; reason?: GoneReason; withdrawal?: Signed };

/** The introducer's end of one Subscribe stream. */
export class Connection {
  readonly #queue: (Event | { fail: Error } | "end")[] = [];
  #wake: () => void = () => {};
  /** Resolves when the subscriber is gone, or the stream has ended. */
  readonly closed: Promise<void>;
  #close: () => void = () => {};

  constructor(
    readonly request: SubscribeRequest,
    readonly signal: AbortSignal,
  ) {
    this.closed = new Promise((resolve) => (this.#close = resolve));
    signal.addEventListener("abort", () => this.#wake());
  }

  send(...events: Event[]): this {
    this.#queue.push(...events);
    this.#wake();
    return this;
  }

  end(): void {
    this.#queue.push("end");
    this.#wake();
  }

  fail(error: Error): void {
    this.#queue.push({ fail: error });
    this.#wake();
  }

  async *responses(): AsyncGenerator<SubscribeResponse> {
    try {
      while (!this.signal.aborted) {
        const next = this.#queue.shift();
        if (next === "end") return;
        if (next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
        else if ("fail" in next) throw next.fail;
        else yield create(SubscribeResponseSchema, { event: next } as MessageInitShape<typeof SubscribeResponseSchema>);
      }
    } finally {
      this.#close();
    }
  }
}

/** An introducer that says whatever a test wants. */
export class Liar {
  readonly transport: Transport;
  readonly connections: Connection[] = [];
  records: MessageInitShape<typeof ReadLogResponseSchema>["records"] = [];
  results = 1; // how many results Publish gives
  #waiting: (() => void)[] = [];

  constructor() {
    this.transport = createRouterTransport(({ service }) => {
      service(IntroducerService, {
        subscribe: (request, context) => {
          const connection = new Connection(request, context.signal);
          this.connections.push(connection);
          for (const wake of this.#waiting.splice(0)) wake();
          return connection.responses();
        },
        readLog: async function* (this: Liar) {
          yield { records: this.records ?? [] };
        }.bind(this),
        publish: () => ({ results: new Array(this.results).fill({}) }),
      });
    });
  }

  /** The nth connection, from 0, as soon as there is one. */
  async connection(n: number): Promise<Connection> {
    while (this.connections.length <= n) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.connections[n]!;
  }
}

/** A peer as an honest introducer shows it. */
export function truth(signed: Signed, revision = 1): Peer {
  const a = parseAnnouncement(signed.message);
  return create(PeerSchema, {
    service: a.service,
    peerId: signed.peerId,
    seqnum: a.seqnum,
    revision: BigInt(revision),
    nickname: a.nickname,
    endpoints: allEndpoints(a),
    permutationSeed: permutationSeed(a, signed.peerId),
    announced: timestampFromDate(new Date(0)),
    announcement: { ...signed },
  });
}

export const logId = new Uint8Array(16).fill(7);

function token(revision: number) {
  return { logId, revision: BigInt(revision) };
}

export function reset(reason = ResetReason.NEW): Event {
  return { case: "reset", value: { $typeName: "introducer.v1.Reset", reason } };
}

export function changes(revision: number, ...all: Changed[]): Event {
  const value = all.map((c) =>
    "announced" in c
      ? { change: { case: "announced" as const, value: c.announced } }
      : {
          change: {
            case: "gone" as const,
            value: {
              service: parseAnnouncement(c.gone.message).service,
              peerId: c.gone.peerId,
              revision: BigInt(revision),
              reason: c.reason ?? GoneReason.EXPIRED,
              ...(c.withdrawal && { withdrawal: { ...c.withdrawal } }),
            },
          },
        },
  );
  return { case: "changes", value: { changes: value, token: token(revision) } } as unknown as Event;
}

export function digestOf(held: Signed[]): Uint8Array {
  const sum = new Uint8Array(32);
  for (const s of held) announcementDigest(s).forEach((b, i) => (sum[i]! ^= b));
  return sum;
}

export function synced(revision: number, ...held: Signed[]): Event {
  return { case: "synced", value: { token: token(revision), setDigest: digestOf(held) } } as unknown as Event;
}

export function progress(revision: number, ...held: Signed[]): Event {
  return { case: "progress", value: { token: token(revision), setDigest: digestOf(held) } } as unknown as Event;
}

export function drain(revision: number, ms: number): Event {
  const reconnectAfter = { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 };
  return { case: "drain", value: { token: token(revision), reconnectAfter } } as unknown as Event;
}
