import { Link } from "wouter";

export interface Tab {
  key: string;
  title: string;
  href: string;
  /** A number or mark beside the title; an empty text keeps the place of one that comes. */
  note?: React.ReactNode;
}

/** Views of one thing, each with an address. */
export function Tabs({ label, tabs, current }: { label: string; tabs: Tab[]; current: string }) {
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <Link key={tab.key} href={tab.href} aria-current={tab.key === current ? "page" : undefined}>
          {tab.title}
          {tab.note != null && <span className="count">{tab.note}</span>}
        </Link>
      ))}
    </nav>
  );
}
