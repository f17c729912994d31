import { build } from "esbuild";
import { buildPackage } from "../core/build.mjs";

await buildPackage(build, "react-native");
