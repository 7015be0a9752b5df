// One function for each type of panel that the dashboards have, around the component that Grafana has for it.
import React, { useLayoutEffect } from "react";
import { dateTime, getFieldDisplayValues, VizOrientation } from "@grafana/data";
import { BarGauge, BigValue, BigValueTextMode, TimeSeries, VizRepeater } from "@grafana/ui";

// The bands of chaos scenarios, drawn as Grafana draws annotations that last: a shade and two dashed edges.
function Bands({ builder, bands }) {
  useLayoutEffect(() => {
    builder.addHook("draw", ({ ctx, bbox, valToPos }) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const { from_s, to_s } of bands) {
        const [left, right] = [from_s, to_s].map((at) => valToPos(at * 1000, "x", true));
        ctx.fillStyle = "rgba(184, 119, 217, 0.16)";
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        ctx.strokeStyle = "rgba(184, 119, 217, 0.9)";
        ctx.setLineDash([4, 4]);
        for (const x of [left, right]) {
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
      }
      ctx.restore();
    });
  }, [builder, bands]);
  return null;
}

function Lines({ panel, frames, range, bands, width, height, theme }) {
  const timeRange = { from: dateTime(range.start_s * 1000), to: dateTime(range.end_s * 1000), raw: { from: "", to: "" } };
  return (
    <TimeSeries
      frames={frames}
      timeRange={timeRange}
      timeZone="utc"
      width={width}
      height={height}
      theme={theme}
      legend={panel.options.legend}
      options={panel.options}
    >
      {(builder) => <Bands builder={builder} bands={bands} />}
    </TimeSeries>
  );
}

const latest = (panel, frames, theme) => () =>
  getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    data: frames,
    sparkline: (panel.options.graphMode ?? "none") !== "none",
    timeZone: "utc",
  });

function Repeated({ panel, frames, width, height, theme, orientation, children }) {
  return (
    <VizRepeater
      getValues={latest(panel, frames, theme)}
      renderValue={children}
      width={width}
      height={height}
      source={frames}
      renderCounter={1}
      orientation={orientation}
      autoGrid={orientation === VizOrientation.Auto}
      itemSpacing={8}
      maxVizHeight={46}
    />
  );
}

const Numbers = (props) => (
  <Repeated {...props} orientation={VizOrientation.Auto}>
    {({ value, width, height, count }) => (
      <BigValue
        theme={props.theme}
        value={value.display}
        sparkline={value.sparkline}
        colorMode={props.panel.options.colorMode}
        graphMode={props.panel.options.graphMode}
        textMode={BigValueTextMode.ValueAndName}
        count={count}
        width={width}
        height={height}
      />
    )}
  </Repeated>
);

const Bars = (props) => (
  <Repeated {...props} orientation={VizOrientation.Horizontal}>
    {({ value, width, height }) => (
      <BarGauge
        theme={props.theme}
        value={value.display}
        field={value.field}
        display={value.view?.getFieldDisplayProcessor(value.colIndex)}
        displayMode={props.panel.options.displayMode}
        namePlacement={props.panel.options.namePlacement}
        orientation={VizOrientation.Horizontal}
        width={width}
        height={height}
        showUnfilled
      />
    )}
  </Repeated>
);

export const KINDS = { timeseries: Lines, stat: Numbers, bargauge: Bars };
