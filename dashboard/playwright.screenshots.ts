import config from "./playwright.config";

/** The tests' server and browser, for pictures. */
export default { ...config, projects: [{ name: "screenshots", testMatch: "screenshots.ts" }] };
