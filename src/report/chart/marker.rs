//! Markers, which distinguish series by shape as well as by colour.
//!
//! Where in the flow: drawn for points in both kinds of charts and in their legends.
//!
//! **Invariant:** the size of a marker is in units of the drawing and does not depend on the axes.

use super::svg::{Ink, SCALE, SERIES};
use plotters::element::{Drawable, PointCollection};
use plotters_backend::{BackendCoord, DrawingBackend, DrawingErrorKind};

/// The corners of a polygon around a point, in multiples of the radius.
type Corners = &'static [(f64, f64)];

/// The shapes: disc (no corners), square, triangle, diamond, inverted triangle, cross.
const SHAPES: [Corners; SERIES] = [
    &[],
    &[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    &[(0.0, -1.1), (1.05, 0.8), (-1.05, 0.8)],
    &[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
    &[(0.0, 1.1), (1.05, -0.8), (-1.05, -0.8)],
    &[
        (-0.4, -1.1),
        (0.4, -1.1),
        (0.4, -0.4),
        (1.1, -0.4),
        (1.1, 0.4),
        (0.4, 0.4),
        (0.4, 1.1),
        (-0.4, 1.1),
        (-0.4, 0.4),
        (-1.1, 0.4),
        (-1.1, -0.4),
        (-0.4, -0.4),
    ],
];

/// The marker of a series at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker<C> {
    at: C,
    series: usize,
    radius: f64,
}

impl<C> Marker<C> {
    /// Creates a marker; `radius` is in units of the drawing.
    pub(super) fn new(at: C, series: usize, radius: f64) -> Self {
        Self { at, series, radius: radius * SCALE }
    }
}

impl<'a, C> PointCollection<'a, C> for &'a Marker<C> {
    type Point = &'a C;
    type IntoIter = std::iter::Once<&'a C>;

    fn point_iter(self) -> Self::IntoIter {
        std::iter::once(&self.at)
    }
}

impl<C, DB: DrawingBackend> Drawable<DB> for Marker<C> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut at: I,
        backend: &mut DB,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<DB::ErrorType>> {
        let Some((x, y)) = at.next() else { return Ok(()) };
        let ink = Ink::Series(self.series).rgb();
        let corners = SHAPES[self.series % SERIES];
        if corners.is_empty() {
            return backend.draw_circle((x, y), self.radius as u32, &ink, true);
        }
        let corner = |(dx, dy): &(f64, f64)| (x + (dx * self.radius) as i32, y + (dy * self.radius) as i32);
        backend.fill_polygon(corners.iter().map(corner), &ink)
    }
}
