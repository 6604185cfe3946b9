// Turns build/core.wasm into a component: adds the world, and the adapter from Go's WASI 0.1 to 0.2.
import { readFile, writeFile } from "node:fs/promises";
import { componentEmbed, componentNew, preview1AdapterReactorPath } from "@bytecodealliance/jco";

const binary = await readFile("build/core.wasm");
const witSource = await readFile("wit/world.wit", "utf8");
const adapter = await readFile(preview1AdapterReactorPath());
const core = await componentEmbed({ binary, witSource, world: "tour", metadata: [] });
await writeFile(process.argv[2], await componentNew(core, [["wasi_snapshot_preview1", adapter]]));
