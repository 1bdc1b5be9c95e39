import { useEffect, useState } from "preact/hooks";

/** What the page shows, as the address says behind its #. Whatever is no route is that of all peers. */
export type Route =
  | { readonly view: "peers"; readonly service: string } // "": of every service
  | { readonly view: "peer"; readonly service: string; readonly id: string }
  | { readonly view: "ring"; readonly service: string; readonly storageIndex: string }
  | { readonly view: "recent" }
  | { readonly view: "visitors" };

/** The address of a route. Names become part of it only in their escaped form. */
export function href(r: Route): string {
  const parts: string[] = [r.view];
  if (r.view === "peers") parts.push(r.service);
  if (r.view === "peer") parts.push(r.service, r.id);
  if (r.view === "ring") parts.push(r.service, r.storageIndex);
  while (parts.at(-1) === "") parts.pop();
  return "#/" + parts.map(encodeURIComponent).join("/");
}

export function parseRoute(hash: string): Route {
  let parts: string[] = [];
  try {
    parts = hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    // An address that somebody cut in two.
  }
  const [view, service = "", third = ""] = parts;
  switch (view) {
    case "peer":
      return { view, service, id: third };
    case "ring":
      return { view, service, storageIndex: third };
    case "recent":
    case "visitors":
      return { view };
  }
  return { view: "peers", service: view === "peers" ? service : "" };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
