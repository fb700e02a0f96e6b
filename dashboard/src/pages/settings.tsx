import { Link, useRoute } from "wouter";

import { Empty } from "../components/feedback";
import { Tabs } from "../components/tabs";
import { useMay, useSession } from "../session/session";
import { Audit } from "../settings/audit";
import { Keys } from "../settings/keys";
import { Namespaces } from "../settings/namespaces";
import { QuotaView } from "../settings/quota";
import { Sessions } from "../settings/sessions";
import "../forms/forms.css";
import "../settings/settings.css";

const views: [string, string, React.ComponentType][] = [
  ["quota", "Quota", QuotaView],
  ["keys", "API keys", Keys],
  ["namespaces", "Namespaces", Namespaces],
  ["sessions", "Sessions", Sessions],
  ["audit", "Audit log", Audit],
];

/** What is not for admins alone. */
const forAll = ["namespaces", "sessions"];

/** What admins set, and what they look after. */
export default function SettingsPage() {
  const [, params] = useRoute<{ view?: string }>("/settings/:view?");
  const session = useSession();
  const isAdmin = useMay("admin");
  const view = params?.view ?? "quota";
  const [, title, View] = views.find(([key]) => key === view) ?? [];
  return (
    <>
      <title>{`${title ?? "Settings"} · Weir`}</title>
      <div>
        <h1>Settings</h1>
        <p className="muted">
          {session.principal}, {session.role} in {session.namespace}
          {session.whole_service && ", admin of the whole service"}
        </p>
      </div>
      <Tabs
        label="Settings"
        tabs={views.map(([key, title]) => ({ key, title, href: `/settings/${key}` }))}
        current={view}
      />
      {!View ? (
        <div className="card">
          <Empty icon="search" title="There is no such page">
            <Link href="/settings">All settings</Link>
          </Empty>
        </div>
      ) : !isAdmin && !forAll.includes(view) ? (
        <div className="card">
          <Empty icon="key" title="This is for admins">
            You are a {session.role} in {session.namespace}. Its admins can give you a key with another role.
          </Empty>
        </div>
      ) : (
        <View />
      )}
    </>
  );
}
