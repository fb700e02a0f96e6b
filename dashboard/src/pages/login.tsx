import { useState } from "react";

import { Failure } from "../components/feedback";
import { Field } from "../components/field";
import { useLogin } from "../session/session";
import "../session/session.css";

type Way = "api_key" | "token";

/** Asks who the reader is. Afterwards the page whose address it has appears. */
export default function LoginPage() {
  const login = useLogin();
  const [way, setWay] = useState<Way>("api_key");
  const [secret, setSecret] = useState("");
  const trimmed = secret.trim();
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (trimmed === "") return;
    login.mutate(way === "api_key" ? { api_key: trimmed } : { token: trimmed });
  };
  const change = () => {
    setWay(way === "api_key" ? "token" : "api_key");
    setSecret("");
    login.reset();
  };
  return (
    <main className="login" id="content">
      <title>Log in · Weir</title>
      <form className="card" onSubmit={send}>
        <div className="brand">
          <img src="/favicon.svg" width="28" height="28" alt="" />
          Weir
        </div>
        <h1>Log in</h1>
        <Field
          key={way}
          label={way === "api_key" ? "API key" : "Token"}
          help={
            way === "api_key" ? (
              <>
                An admin makes one in the settings or with <code>weir keys create</code>.
              </>
            ) : (
              "A JSON web token of the identity provider that this service trusts."
            )
          }
        >
          {(control) => (
            <input
              {...control}
              type="password"
              autoComplete={way === "api_key" ? "current-password" : "off"}
              placeholder={way === "api_key" ? "weir_…" : "eyJ…"}
              spellCheck={false}
              required
              autoFocus
              value={secret}
              onChange={(event) => setSecret(event.target.value)}
            />
          )}
        </Field>
        {login.error && <Failure error={login.error} />}
        <button className="primary" type="submit" disabled={trimmed === "" || login.isPending}>
          {login.isPending ? "Logging in…" : "Log in"}
        </button>
        <footer className="muted">
          <button type="button" className="link" onClick={change}>
            {way === "api_key" ? "Use a token instead" : "Use an API key instead"}
          </button>
        </footer>
      </form>
    </main>
  );
}
