// Checks the dashboard by the types of Grafana's own package, @grafana/schema (Apache-2.0): the compiler sees the JSON as
// literals, so that an unknown member, a missing one and a wrong value are errors. The package has no type for the queries of
// the data source; their members are checked here. What no type says is checked, too: ids and places of panels.
//
// Usage: node schema.mjs DASHBOARD.json FOLDER

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [file, folder] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const dashboard = JSON.parse(readFileSync(file, 'utf8'));
const faults = [];

// JSON has the values of enumerations, which are no members of them to the compiler.
const HEAD = `
import type { Dashboard, FieldConfig, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
type Json<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
type Whole = Json<Omit<Dashboard, 'panels' | 'templating'>>;
type Common = Json<Omit<Panel, 'type' | 'options' | 'fieldConfig'>>;
type Defaults = Json<Omit<FieldConfig, 'custom'>>;
type Of<T, O, C> = Common & { type: T; options: Json<O>; fieldConfig: { defaults: Defaults & C; overrides: [] } };
type Row = Json<RowPanel>;
type TimeSeries = Of<'timeseries', timeseries.Options, { custom: Json<timeseries.FieldConfig> }>;
type Stat = Of<'stat', stat.Options, {}>;
type Variable = Json<VariableModel>;
`;
const TYPES = { row: 'Row', timeseries: 'TimeSeries', stat: 'Stat' };

const { panels, templating, ...whole } = dashboard;
const checked = [[whole, 'Whole']];
for (const panel of panels) {
  const type = TYPES[panel.type];
  if (type) checked.push([panel, type]);
  else faults.push(`panel ${panel.title}: no type for ${panel.type}`);
}
for (const variable of templating.list) checked.push([variable, 'Variable']);
const text = checked.map(([value, type], n) => `export const v${n} = ${JSON.stringify(value, null, 1)} satisfies ${type};\n`);
writeFileSync(join(folder, 'dashboard.ts'), HEAD + text.join(''));
const options = { strict: true, noEmit: true, module: 'nodenext', moduleResolution: 'nodenext', target: 'esnext', skipLibCheck: true,
  types: [], paths: { '@grafana/schema': [join(here, 'node_modules/@grafana/schema/dist/types/index.d.ts')],
    '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen':
      [join(here, 'node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen.d.ts')],
    '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen':
      [join(here, 'node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen.d.ts')] } };
writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['dashboard.ts'] }));
try {
  execFileSync(join(here, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' });
} catch (error) {
  faults.push(error.stdout || String(error));
}

const QUERY = ['datasource', 'editorMode', 'expr', 'instant', 'legendFormat', 'range', 'refId'];
const ids = new Set(), titles = new Set(), places = new Set();
for (const panel of panels) {
  const { x, y, w, h } = panel.gridPos;
  if (ids.has(panel.id)) faults.push(`id ${panel.id} twice`);
  if (titles.has(panel.title)) faults.push(`title ${panel.title} twice`);
  ids.add(panel.id);
  titles.add(panel.title);
  if (x + w > 24) faults.push(`${panel.title} is beyond the right edge`);
  for (let column = x; column < x + w; column++) {
    for (let line = y; line < y + h; line++) {
      if (places.has(`${column} ${line}`)) faults.push(`${panel.title} lies on another panel`);
      places.add(`${column} ${line}`);
    }
  }
  if (panel.type !== 'row' && !panel.targets?.length) faults.push(`${panel.title} has no query`);
  for (const query of panel.targets ?? []) {
    const members = Object.keys(query).sort().join();
    if (members !== QUERY.join() || query.instant === query.range) faults.push(`${panel.title}: members ${members}`);
  }
}
if (faults.length) {
  console.error([...new Set(faults)].join('\n'));
  process.exit(1);
}
console.log(`${panels.length} panels and ${templating.list.length} variables are as @grafana/schema describes them`);
