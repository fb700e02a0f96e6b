import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./app";
import { applyTheme, storedTheme } from "./lib/theme";
import "./theme.css";

applyTheme(storedTheme());
const client = new QueryClient({ defaultOptions: { queries: { staleTime: 500, refetchOnWindowFocus: true } } });
const root = document.getElementById("root");
if (!root) throw new Error("the page has no root element");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
