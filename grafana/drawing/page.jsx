// A dashboard on a page, from window.DASHBOARD: its JSON, the answers to its queries by panel and query, and the range.
// What goes wrong in a panel stands in that panel; `data-drawn` on the body says how many are there.
import React from "react";
import { createRoot } from "react-dom/client";
import { flushSync } from "react-dom";
import { createTheme, dateTimeFormat } from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import { GlobalStyles, PanelChrome, ThemeContext } from "@grafana/ui";
import "@fontsource-variable/inter";
import "uplot/dist/uPlot.min.css";
import { framesOf } from "./frames.js";
import { KINDS } from "./panels.jsx";

const CELL = 38; // Grafana's rows are 30 px high and 8 apart
const MARGIN = 8;
const theme = createTheme({ colors: { mode: "dark" }, typography: { fontFamily: '"Inter Variable", sans-serif' } });
const { dashboard, answers, bands, range, width } = window.DASHBOARD;

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    return this.state.error ? <pre data-broken>{String(this.state.error.stack)}</pre> : this.props.children;
  }
}

function place({ x, y, w, h }) {
  const column = (width - MARGIN) / 24;
  return { left: MARGIN + x * column, top: y * CELL, width: w * column - MARGIN, height: h * CELL - MARGIN };
}

function Panel({ panel }) {
  const box = place(panel.gridPos);
  const frames = framesOf(panel, answers[panel.id], range, theme);
  const Kind = KINDS[panel.type];
  const nothing = panel.fieldConfig.defaults.noValue ?? "No data";
  return (
    <div style={{ position: "absolute", ...box }} data-panel={panel.id}>
      <PanelChrome title={panel.title} width={box.width} height={box.height}>
        {(innerWidth, innerHeight) => (
          <Guard>
            {frames.length ? (
              <Kind {...{ panel, frames, range, bands, theme }} width={innerWidth} height={innerHeight} />
            ) : (
              <div data-empty style={{ color: theme.colors.text.secondary, padding: 24, textAlign: "center" }}>{nothing}</div>
            )}
          </Guard>
        )}
      </PanelChrome>
    </div>
  );
}

const Title = ({ panel }) => (
  <div style={{ position: "absolute", ...place(panel.gridPos), fontWeight: 500, lineHeight: "30px" }}>⌄ {panel.title}</div>
);

function Head() {
  const at = (seconds) => dateTimeFormat(seconds * 1000, { timeZone: "utc", format: "HH:mm:ss" });
  return (
    <div style={{ height: 48, padding: "12px 12px 0", display: "flex", justifyContent: "space-between" }}>
      <span style={{ fontSize: 18, fontWeight: 500 }}>{dashboard.title}</span>
      <span style={{ color: theme.colors.text.secondary }}>
        Node: All · Worker: All · {at(range.start_s)} to {at(range.end_s)} UTC
        {bands.map(({ text }) => ` · ▮ ${text}`).join("")}
      </span>
    </div>
  );
}

await initPluginTranslations("chappe");
await document.fonts.load('14px "Inter Variable"');
const root = createRoot(document.getElementById("page"));
flushSync(() =>
  root.render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Head />
      <div style={{ position: "relative", width }}>
        {dashboard.panels.map((panel, index) =>
          panel.type === "row" ? <Title key={index} panel={panel} /> : <Panel key={index} panel={panel} />,
        )}
      </div>
    </ThemeContext.Provider>,
  ),
);
document.body.dataset.drawn = document.querySelectorAll("[data-panel]").length;
