import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { Connection } from "./connection.js";
import { LiveGrid } from "./grid.js";
import { Alarms, Overview } from "./overview.js";
import { PeerPage } from "./peer.js";
import { Peers } from "./peers.js";
import { Recent } from "./recent.js";
import { Ring } from "./ring.js";
import { href, useRoute, type Route } from "./route.js";
import { LiveStatus } from "./status.js";
import { useStore } from "./store.js";
import { Visitors } from "./visitors.js";

function App({ live, liveStatus }: { live: LiveGrid; liveStatus: LiveStatus }) {
  const grid = useStore(live);
  const status = useStore(liveStatus);
  const route = useRoute();
  const { connection, resets } = grid.state;
  // Another introducer may be behind the address after a break.
  useEffect(() => liveStatus.ask(), [connection, resets]);
  const main = useTurn(route);

  const service = route.view === "peers" || route.view === "ring" ? route.service : "";
  const links: [string, Route, boolean][] = [
    ["Peers", { view: "peers", service }, route.view === "peers" || route.view === "peer"],
    ["Ring", { view: "ring", service, storageIndex: "" }, route.view === "ring"],
    ["Recent", { view: "recent" }, route.view === "recent"],
    ["Visitors", { view: "visitors" }, route.view === "visitors"],
  ];
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>Skip to content</a>
      <header class="top">
        <a class="brand" href="#/">
          <svg viewBox="0 0 32 32" aria-hidden="true"><circle class="line" cx="16" cy="16" r="11" /><circle cx="16" cy="5" r="4" /><circle cx="25.5" cy="21.5" r="4" /><circle cx="6.5" cy="21.5" r="4" /></svg>
          <span>Introducer</span>
          <small>{location.host}</small>
        </a>
        <nav class="views" aria-label="Views">
          {links.map(([name, to, here]) => (
            <a key={name} href={href(to)} aria-current={here ? "page" : undefined}>{name}</a>
          ))}
        </nav>
        <Connection state={grid.state} />
      </header>
      <main ref={main} id="main" tabIndex={-1}>
        <Alarms grid={grid} status={status} />
        {route.view === "peers" && (
          <>
            <Overview grid={grid} status={status} />
            <Peers live={live} grid={grid} status={status} service={route.service} />
          </>
        )}
        {route.view === "peer" && <PeerPage live={live} grid={grid} service={route.service} id={route.id} />}
        {route.view === "ring" && <Ring live={live} grid={grid} service={route.service} storageIndex={route.storageIndex} />}
        {route.view === "recent" && <Recent live={live} grid={grid} />}
        {route.view === "visitors" && <Visitors live={live} status={status} />}
      </main>
    </>
  );
}

const titles: Record<Route["view"], string> = { peers: "Peers", peer: "Peer", ring: "Ring", recent: "Left lately", visitors: "Visitors" };

/** At a turn to another view the focus and the top of the page go with it, and the title says where one is. */
function useTurn(route: Route) {
  const main = useRef<HTMLElement>(null);
  const place = route.view === "peer" ? `peer ${route.service} ${route.id}` : route.view;
  const was = useRef(place);
  useEffect(() => {
    document.title = `${titles[route.view]} – Introducer`;
    if (was.current === place) return;
    was.current = place;
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [place]);
  return main;
}

render(<App live={new LiveGrid(location.origin)} liveStatus={new LiveStatus()} />, document.getElementById("app")!);
