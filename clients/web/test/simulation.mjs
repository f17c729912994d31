// The simulation of the core's tests, with this package's client.

import { Simulation as Shared } from "../../core/test/simulation.mjs";
import { connectBrazeAuth } from "../dist/index.js";

export { problem, response, settled, SERVER_EPOCH } from "../../core/test/simulation.mjs";

/** A browser and a server, in virtual milliseconds. */
export class Simulation extends Shared {
  constructor(given) {
    super(connectBrazeAuth, given);
  }
}
