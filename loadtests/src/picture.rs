//! The diagram of a run: latency against percentile, both axes logarithmic, so that the tail is readable.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::latency::{Latency, ms};

const SIZE: (u32, u32) = (960, 540);
/// The curve ends at this many nines of the percentile.
const NINES: f64 = 5.0;

/// Draws the distributions as an SVG document.
pub fn draw(title: &str, latencies: &[Latency]) -> Result<String> {
    let mut svg = String::new();
    paint(&mut svg, title, latencies).map_err(|error| anyhow!("picture: {error}"))?;
    Ok(svg)
}

fn paint(svg: &mut String, title: &str, latencies: &[Latency]) -> Result<(), Box<dyn std::error::Error>> {
    let longest = latencies.iter().map(|latency| ms(latency.histogram.max())).fold(1.0, f64::max);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..NINES, (0.05..longest * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("milliseconds")
        .x_labels(6)
        .x_label_formatter(&|nines| percentile(*nines))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    for (n, latency) in latencies.iter().enumerate() {
        let colour = Palette99::pick(n).stroke_width(2);
        let points = (0..=100).map(|step| {
            let nines = f64::from(step) * NINES / 100.0;
            let quantile = 1.0 - 10_f64.powf(-nines);
            (nines, ms(latency.histogram.value_at_quantile(quantile)).max(0.05))
        });
        chart
            .draw_series(LineSeries::new(points, colour))?
            .label(latency.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    root.present()?;
    Ok(())
}

fn percentile(nines: f64) -> String {
    let share = (1.0 - 10_f64.powf(-nines)) * 100.0;
    if nines < 0.5 {
        "min".to_owned()
    } else {
        format!("{share:.*}", (nines.round() as usize).saturating_sub(2))
    }
}
