import { machine } from "../../core/src/machine.js";
import type { Environment } from "../../core/src/environment.js";
import type { BrazeAuth, Options } from "../../core/src/options.js";
import type { BrazeSdk } from "../../core/src/sdk.js";

/** Connects an initialised SDK. Call it before the SDK's `openSession`: a failure with no subscriber is lost. */
export const connectBrazeAuth = (braze: BrazeSdk, options: Options, env: Environment = window): BrazeAuth =>
  machine(braze, options, env, "web");
