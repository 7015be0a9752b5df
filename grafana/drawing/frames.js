// From a panel of a dashboard's JSON and the answers of Prometheus to the frames that Grafana's components take.
// This is what Grafana does with them on its way from a data source to a panel: names, field defaults, overrides.
import { applyFieldOverrides, createDataFrame, FieldType } from "@grafana/data";

const named = (legend, labels) => legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");

// A series has no points where it was not there: there the line has a hole.
function onGrid({ points }, { start_s, end_s, step_s }) {
  const at = new Map(points.map(([time, value]) => [Math.round((time - start_s) / step_s), value]));
  return Array.from({ length: Math.floor((end_s - start_s) / step_s) + 1 }, (_, index) => ({
    time: (start_s + index * step_s) * 1000,
    value: at.get(index) ?? null,
  }));
}

function defaultsOf(panel) {
  const defaults = structuredClone(panel.fieldConfig?.defaults ?? {});
  for (const step of defaults.thresholds?.steps ?? []) step.value ??= -Infinity; // as it stands in JSON
  return defaults;
}

function overridesFor(name, panel) {
  return Object.fromEntries(
    (panel.fieldConfig?.overrides ?? [])
      .filter((one) => one.matcher.id === "byName" && one.matcher.options === name)
      .flatMap((one) => one.properties.map(({ id, value }) => [id, value])),
  );
}

export function framesOf(panel, answers, range, theme) {
  const defaults = defaultsOf(panel);
  const data = panel.targets.flatMap((target) =>
    (answers[target.refId] ?? []).map((series) => {
      const name = named(target.legendFormat, series.labels);
      const cells = target.instant ? series.points.map(([time, value]) => ({ time: time * 1000, value })) : onGrid(series, range);
      const config = { ...structuredClone(defaults), ...overridesFor(name, panel), displayNameFromDS: name };
      return createDataFrame({
        refId: target.refId,
        fields: [
          { name: "Time", type: FieldType.time, values: cells.map((cell) => cell.time), config: {} },
          { name: "Value", type: FieldType.number, labels: series.labels, values: cells.map((cell) => cell.value), config },
        ],
      });
    }),
  );
  return applyFieldOverrides({
    data,
    theme,
    timeZone: "utc",
    replaceVariables: (text) => text,
    fieldConfig: { defaults, overrides: [] },
  });
}
