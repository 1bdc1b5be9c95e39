import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** One column of a table. */
export interface Column<T> {
  readonly name: string; // also the class of its cells
  readonly title: string;
  readonly sortable?: boolean;
  /** Links in it have to carry tabIndex: Tab stops at one row of the table. */
  readonly cell: (row: T, index: number, tabIndex: number) => ComponentChildren;
}

export interface TableProps<T> {
  readonly label: string;
  readonly class: string; // has the widths of the columns
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  readonly rowClass?: (row: T) => string;
  readonly sort?: { readonly by: string; readonly descending: boolean };
  readonly onSort?: (column: string) => void;
}

// Rows that are drawn beyond what is seen, on either side: a screen reader and a fast finger find some
// there. And rows by which the drawn part moves, so that not each pixel scrolled is a redraw.
const beyond = 12;
const step = 6;

/**
 * A table that draws the rows on the screen and says of the others that they exist. It scrolls with the
 * page. Arrow keys, Page Up and Down, Home and End go from row to row; Tab leaves the table.
 */
export function Table<T>(p: TableProps<T>) {
  const body = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ first: 0, last: 40 });
  const [height, setHeight] = useState(44);
  const [active, setActive] = useState<string>();
  const wanted = useRef<string>(undefined); // the row that is to have the focus when it is drawn

  const look = () => {
    const box = body.current;
    if (box === null) return;
    // The style sheet has the height: it is another on a phone.
    const row = parseFloat(getComputedStyle(box).getPropertyValue("--row")) || 44;
    setHeight(row);
    const top = -box.getBoundingClientRect().top;
    const first = Math.floor((top / row - beyond) / step) * step;
    const last = Math.ceil(((top + innerHeight) / row + beyond) / step) * step;
    setView((old) => (old.first === first && old.last === last ? old : { first, last }));
  };
  useLayoutEffect(look, [p.rows.length, p.class]);
  useEffect(() => {
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look, { passive: true });
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, []);

  const first = Math.max(0, Math.min(view.first, p.rows.length));
  const last = Math.max(first, Math.min(view.last, p.rows.length));
  const drawn = Array.from({ length: last - first }, (_, i) => first + i);
  // The row with the focus stays, wherever the page is scrolled to: a focus must not be lost.
  const at = active === undefined ? -1 : p.rows.findIndex((r) => p.keyOf(r) === active);
  if (at >= 0 && at < first) drawn.unshift(at);
  if (at >= last) drawn.push(at);
  const stop = at >= 0 ? at : first; // where Tab comes in

  useLayoutEffect(() => {
    if (wanted.current === undefined) return;
    const row = body.current?.querySelector<HTMLElement>(`[data-at="${at}"]`);
    if (row === null || row === undefined) return;
    wanted.current = undefined;
    (row.querySelector<HTMLElement>("a") ?? row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  });

  const go = (index: number) => {
    const row = p.rows[Math.max(0, Math.min(index, p.rows.length - 1))];
    if (row === undefined) return;
    wanted.current = p.keyOf(row);
    setActive(wanted.current);
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    const page = Math.max(1, Math.floor(innerHeight / height) - 4);
    const to = { ArrowDown: stop + 1, ArrowUp: stop - 1, PageDown: stop + page, PageUp: stop - page, Home: 0, End: p.rows.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    go(to);
  };
  const onFocus = (e: FocusEvent) => {
    const index = (e.target as HTMLElement).closest<HTMLElement>("[data-at]")?.dataset["at"];
    const row = index === undefined ? undefined : p.rows[Number(index)];
    if (row !== undefined) setActive(p.keyOf(row));
  };

  return (
    <div class={`table ${p.class}`} role="table" aria-label={p.label} aria-rowcount={p.rows.length + 1} aria-colcount={p.columns.length}>
      <div class="head" role="rowgroup">
        <div class="row" role="row" aria-rowindex={1}>
          {p.columns.map((c) => (
            <Heading key={c.name} column={c} sort={p.sort} onSort={p.onSort} />
          ))}
        </div>
      </div>
      <div class="body" role="rowgroup" ref={body} style={{ height: `${p.rows.length * height}px` }} onKeyDown={onKeyDown} onFocusIn={onFocus}>
        {drawn.map((i) => {
          const row = p.rows[i]!;
          return (
            <div
              key={p.keyOf(row)}
              class={`row ${p.rowClass?.(row) ?? ""}`}
              role="row"
              aria-rowindex={i + 2}
              data-at={i}
              style={{ transform: `translateY(${i * height}px)` }}
            >
              {p.columns.map((c) => (
                <div key={c.name} class={`cell ${c.name}`} role="cell" data-label={c.title}>
                  {c.cell(row, i, i === stop ? 0 : -1)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Heading<T>({ column, sort, onSort }: { column: Column<T>; sort: TableProps<T>["sort"]; onSort: TableProps<T>["onSort"] }) {
  if (!column.sortable || onSort === undefined) {
    return (
      <div class={`cell ${column.name}`} role="columnheader">
        {column.title}
      </div>
    );
  }
  const mine = sort?.by === column.name;
  return (
    <div class={`cell ${column.name}`} role="columnheader" aria-sort={mine ? (sort.descending ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => onSort(column.name)}>
        {column.title}
        <span class="arrow" aria-hidden="true">{mine ? (sort.descending ? "↓" : "↑") : ""}</span>
      </button>
    </div>
  );
}
