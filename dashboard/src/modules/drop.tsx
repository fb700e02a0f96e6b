import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "wouter";

import { Problem } from "../api/client";
import type { Module } from "../api/types";
import { State } from "../components/state";
import { bytes, counted } from "../lib/format";
import { upload, type Progress } from "./upload";
import "./modules.css";

/** Files that are uploaded at once; the others wait. */
const AT_ONCE = 2;

interface Upload {
  key: number;
  name: string;
  progress: Progress | undefined;
}

let keys = 0;

/** Takes Wasm files that are dropped on it, or chosen, and says what becomes of them. */
export function Drop({ onUploaded }: { onUploaded?: (module: Module) => void }) {
  const client = useQueryClient();
  const [uploads, setUploads] = useState<Upload[]>([]);
  const [over, setOver] = useState(false);
  const id = useId();
  const take = async (files: File[]) => {
    const taken = files.map((file) => ({ file, key: (keys += 1) }));
    setUploads((old) => [
      ...taken.map(({ file, key }): Upload => ({ key, name: file.name, progress: undefined })),
      ...old,
    ]);
    const left = [...taken];
    const work = async () => {
      for (let next = left.shift(); next; next = left.shift()) {
        const { file, key } = next;
        await upload(file, (progress) => {
          setUploads((old) => old.map((one) => (one.key === key ? { ...one, progress } : one)));
          if (progress.step === "done") onUploaded?.(progress.module);
        });
        await client.invalidateQueries({ queryKey: ["modules"] });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  };
  return (
    <section className="card" aria-label="Upload">
      <div
        className={over ? "drop over" : "drop"}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void take([...event.dataTransfer.files]);
        }}
      >
        <svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true">
          <path
            d="M16 21V6M9 12l7-7 7 7M5 21v6h22v-6"
            fill="none"
            stroke="currentColor"
            strokeWidth="2"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </svg>
        <p>
          Drop Wasm components here, or{" "}
          <label className="pick" htmlFor={id}>
            choose files
          </label>
          <input
            id={id}
            className="visually-hidden"
            type="file"
            accept=".wasm,application/wasm"
            multiple
            onChange={(event) => {
              void take([...(event.target.files ?? [])]);
              event.target.value = "";
            }}
          />
        </p>
        <p className="muted">Each is known by the SHA-256 of its bytes: what is there already is not sent again.</p>
      </div>
      {uploads.length > 0 && (
        <ul className="uploads" aria-live="polite">
          {uploads.map((one) => (
            <li key={one.key}>
              <strong className="clip">{one.name}</strong>
              <Step progress={one.progress} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Step({ progress }: { progress: Progress | undefined }) {
  switch (progress?.step) {
    case undefined:
      return <span className="muted">Waits</span>;
    case "reading":
      return <span className="muted">Computing the digest…</span>;
    case "sending":
      return (
        <>
          <div
            className="bar"
            role="progressbar"
            aria-label="Sent"
            aria-valuemin={0}
            aria-valuemax={progress.total}
            aria-valuenow={progress.sent}
          >
            <i style={{ width: `${(100 * progress.sent) / Math.max(1, progress.total)}%` }} />
          </div>
          <span className="muted">
            {bytes(progress.sent)} of {bytes(progress.total)}
          </span>
        </>
      );
    case "checking":
      return <span className="muted">The server looks into it…</span>;
    case "done":
      return (
        <>
          <State tone="good">{progress.known ? "Was there already" : "Uploaded"}</State>
          <Link className="mono" href={`/modules/${progress.digest}`}>
            {progress.digest.slice(0, 12)}
          </Link>
          <span className="muted">{counted(progress.module.functions.length, "function")}</span>
        </>
      );
    case "failed":
      return (
        <>
          <State tone="bad">Failed</State>
          <span className="upload-error">
            {progress.error instanceof Problem ? progress.error.detail || progress.error.title : progress.error.message}
          </span>
        </>
      );
  }
}
