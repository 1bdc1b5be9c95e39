import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/setup.ts",
    // A busy machine is slow, not wrong: the tests wait for what has to happen.
    testTimeout: 120_000,
    hookTimeout: 600_000,
  },
});
