// Runs the example's route as an Express app would: route.mjs FOLDER express4|express5 EXAMPLE. Prints its port.

import { createRequire } from "node:module";

const [folder, version, example] = process.argv.slice(2);
const express = createRequire(`${folder}/`)(version);
const { addRoute } = await import(example);
const app = express();
app.use(express.json());
// The user's id is a number here, as in most databases.
addRoute(app, (request, _response, next) => {
  request.user = { id: 42 };
  next();
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
