import { Said, shortId, Time } from "./parts.js";
import type { LiveGrid } from "./grid.js";
import { href } from "./route.js";
import type { Status } from "./status.js";
import { useNow } from "./store.js";
import { ago, count } from "./visible.js";
import { parsePeerId } from "@introducer/client";

/** Who talks to the introducer: subscribers that are connected, and who published last. */
export function Visitors({ live, status }: { live: LiveGrid; status: Status | undefined }) {
  const now = useNow(5000);
  if (status === undefined) return <p class="empty">Nothing heard yet.</p>;
  const { connected, subscribers, publishers } = status.visitors;
  return (
    <>
      <section aria-labelledby="subscribers-title">
        <h1 id="subscribers-title">Subscribers</h1>
        <p class="quiet">
          {count(connected)} connected{connected > subscribers.length && `; the newest ${count(subscribers.length)} are listed`}. Names are what they call themselves.
        </p>
        {subscribers.length > 0 && (
          <table class="plain">
            <thead><tr><th scope="col">Nickname</th><th scope="col">Version</th><th scope="col">Services</th><th scope="col">Connected</th></tr></thead>
            <tbody>
              {subscribers.map((s, i) => (
                <tr key={i}>
                  <td><Said text={s.nickname} most={64} /></td>
                  <td><Said text={s.version} most={48} /></td>
                  <td>{s.services.length === 0 ? <span class="quiet">every one</span> : s.services.join(", ")}{s.more_services > 0 && ` and ${s.more_services} more`}</td>
                  <td><Time at={new Date(s.since)}>{ago(new Date(s.since), now)}</Time></td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
      <section aria-labelledby="publishers-title">
        <h1 id="publishers-title">Publishers</h1>
        <p class="quiet">Whose announcements were taken last, since the introducer started. A publisher does not stay connected.</p>
        {publishers.length === 0 ? (
          <p class="empty">Nobody has published since the introducer started.</p>
        ) : (
          <table class="plain">
            <thead><tr><th scope="col">Peer</th><th scope="col">Peer id</th><th scope="col">Announcements</th><th scope="col">Last</th></tr></thead>
            <tbody>
              {publishers.map((p) => (
                <tr key={p.peer_id}>
                  <td><Name live={live} id={p.peer_id} /></td>
                  <td><code title={p.peer_id}>{shortId(p.peer_id)}</code></td>
                  <td class="number">{count(p.announcements)}</td>
                  <td><Time at={new Date(p.published)}>{ago(new Date(p.published), now)}</Time></td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
    </>
  );
}

/** What a publisher calls itself in any of its services. */
function Name({ live, id }: { live: LiveGrid; id: string }) {
  const peerId = parsePeerId(id);
  const { client } = live;
  const entry = client.services().map((s) => client.entry(s, peerId)).find((e) => e !== undefined);
  if (entry === undefined) return <span class="quiet">offers nothing now</span>;
  return <a href={href({ view: "peer", service: entry.service, id })}><Said text={entry.nickname} most={64} none="no nickname" /></a>;
}
