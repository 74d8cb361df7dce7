//! How numbers are spread: their quantiles within a few percent, in memory that does not grow with how many there are.
//! It knows no unit.

/// Steps between a power of two and the next: a quantile is off by at most a sixteenth.
const STEPS: usize = 8;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// One place for each number below [`STEPS`], and [`STEPS`] for each power of two from there on.
const PLACES: usize = (64 - STEP_BITS as usize + 1) * STEPS;

/// Counts of numbers by size.
#[derive(Clone)]
pub struct Histogram {
    places: Box<[u32; PLACES]>,
    count: u64,
    max: u64,
}

/// What is told of a [`Histogram`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many numbers there were.
    pub count: u64,
    /// Half of them were at most this.
    pub p50: u64,
    /// 95 of 100 were at most this.
    pub p95: u64,
    /// 99 of 100 were at most this.
    pub p99: u64,
    /// The largest one, exactly.
    pub max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { places: Box::new([0; PLACES]), count: 0, max: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("spread", &self.spread()).finish()
    }
}

impl Histogram {
    /// Adds a number.
    pub fn observe(&mut self, number: u64) {
        let place = &mut self.places[place_of(number)];
        *place = place.saturating_add(1);
        self.count += 1;
        self.max = self.max.max(number);
    }

    /// Adds everything of another one.
    pub fn add(&mut self, other: &Self) {
        for (place, more) in self.places.iter_mut().zip(other.places.iter()) {
            *place = place.saturating_add(*more);
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.count > 0 {
            self.places.fill(0);
            (self.count, self.max) = (0, 0);
        }
    }

    /// The number that so many of a hundred are not above; 0 when there is none.
    fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (at, count) in self.places.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return middle_of(at).min(self.max);
            }
        }
        self.max
    }

    /// What there is to tell.
    pub fn spread(&self) -> Spread {
        let [p50, p95, p99] = [50, 95, 99].map(|percent| self.percentile(percent));
        Spread { count: self.count, p50, p95, p99, max: self.max }
    }
}

fn place_of(number: u64) -> usize {
    if number < STEPS as u64 {
        return number as usize;
    }
    let power = number.ilog2();
    let step = (number >> (power - STEP_BITS)) as usize % STEPS;
    (power - STEP_BITS + 1) as usize * STEPS + step
}

/// The middle of the numbers that share a place.
fn middle_of(place: usize) -> u64 {
    if place < STEPS {
        return place as u64;
    }
    let shift = (place / STEPS - 1) as u32;
    let low = ((STEPS + place % STEPS) as u64) << shift;
    low + (1_u64 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_and_its_middle_is_near() {
        let powers = (0..64).flat_map(|power| [1_u64 << power, (1 << power) + (1 << power) / 3]);
        for number in powers.chain([0, 3, 7, 8, 9, u64::MAX - 1, u64::MAX]) {
            let place = place_of(number);
            assert!(place < PLACES, "{number}");
            let middle = middle_of(place);
            assert!(middle.abs_diff(number) <= number / 8, "{number} is told as {middle}");
        }
    }

    #[test]
    fn quantiles_are_near_and_the_largest_is_exact() {
        let mut all = Histogram::default();
        assert_eq!(all.spread(), Spread::default());
        let mut odd = Histogram::default();
        for number in 1..=1000_u64 {
            if number % 2 == 0 { all.observe(number * 1000) } else { odd.observe(number * 1000) }
        }
        all.add(&odd);
        let spread = all.spread();
        assert_eq!((spread.count, spread.max), (1000, 1_000_000));
        for (told, exact) in [(spread.p50, 500_000_u64), (spread.p95, 950_000), (spread.p99, 990_000)] {
            assert!(told.abs_diff(exact) <= exact / 8, "{told} for {exact}");
        }
        all.clear();
        assert_eq!(all.spread(), Spread::default());
        all.observe(5);
        assert_eq!(all.spread(), Spread { count: 1, p50: 5, p95: 5, p99: 5, max: 5 });
    }
}
