//! The order in which literals go to Teddy.
//!
//! Teddy looks up four bytes by their half-bytes in sixteen buckets. A bucket answers for the *product* of what its literals
//! have at each place: `ghp_` and `ghs_` together pass hardly more than each alone, `ghp_` and `toke` a lot. Literals
//! with the same low half-bytes share a bucket anyway, any other goes to the bucket of its number modulo sixteen; so
//! the order decides how often the slow check runs. (It decides nothing else: a change there costs speed only.)

/// Bytes that Teddy looks at.
const PREFIX: usize = 4;
const BUCKETS: usize = 16;

/// How often telemetry has each printable byte, in per mille: by high half from 2, then by low half. Names of
/// attributes, hexadecimal digits, paths and hosts; what is not here is framing and rare.
const FREQUENCY: [[u32; 16]; 6] = [
    //  !  "  #  $  %  &  '  (  )  *  +  ,  -  .  /
    [20, 2, 8, 3, 1, 1, 1, 2, 2, 2, 1, 1, 3, 12, 35, 25],
    // 0 to 9 : ; < = > ?
    [30, 30, 22, 20, 20, 20, 18, 18, 20, 18, 8, 2, 1, 4, 1, 1],
    // @ A to O
    [5, 4, 2, 3, 2, 4, 2, 2, 2, 4, 1, 1, 3, 3, 3, 3],
    // P to Z [ \ ] ^ _
    [4, 1, 4, 4, 4, 2, 1, 1, 3, 1, 1, 2, 2, 2, 1, 20],
    // ` a to o
    [1, 50, 20, 35, 35, 75, 20, 15, 20, 40, 4, 10, 28, 25, 40, 45],
    // p to z { | } ~
    [28, 3, 45, 45, 55, 22, 10, 8, 6, 10, 4, 2, 1, 2, 1, 1],
];
/// How often it has any other byte.
const OTHER: u32 = 1;

/// The numbers of the literals in a good order.
pub(crate) fn arrange(literals: &[String]) -> Vec<usize> {
    let (first, others) = classes(literals);
    let columns = improve(&first, literals);
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let row = |row: usize| columns.iter().filter_map(move |column| column.get(row).copied());
    (0..rows).flat_map(row).chain(others).collect()
}

/// The first literal of each class that shares a bucket, and all others.
fn classes(literals: &[String]) -> (Vec<usize>, Vec<usize>) {
    let low = |literal: &String| -> Vec<u8> { literal.bytes().take(PREFIX).map(|byte| byte & 15).collect() };
    (0..literals.len())
        .partition(|&index| literals[..index].iter().all(|before| low(before) != low(&literals[index])))
}

/// Deals the classes out, then swaps two as long as that helps.
fn improve(classes: &[usize], literals: &[String]) -> Vec<Vec<usize>> {
    // Column by column, so that neighbours in the table of rules, which are alike, start out together.
    let (rows, rest) = (classes.len() / BUCKETS, classes.len() % BUCKETS);
    let mut left = classes;
    let mut columns: Vec<Vec<usize>> = (0..BUCKETS)
        .map(|column| {
            let (mine, others) = left.split_at(rows + usize::from(column < rest));
            left = others;
            mine.to_vec()
        })
        .collect();
    let mut costs: Vec<u64> = columns.iter().map(|column| cost(column, literals)).collect();
    let mut better = true;
    while std::mem::take(&mut better) {
        for a in 0..BUCKETS {
            for b in a + 1..BUCKETS {
                for i in 0..columns[a].len() {
                    for j in 0..columns[b].len() {
                        swap(&mut columns, (a, i), (b, j));
                        let new = (cost(&columns[a], literals), cost(&columns[b], literals));
                        if new.0 + new.1 < costs[a] + costs[b] {
                            (costs[a], costs[b]) = new;
                            better = true;
                        } else {
                            swap(&mut columns, (a, i), (b, j));
                        }
                    }
                }
            }
        }
    }
    columns
}

fn swap(columns: &mut [Vec<usize>], (a, i): (usize, usize), (b, j): (usize, usize)) {
    let (left, right) = columns.split_at_mut(b);
    std::mem::swap(&mut left[a][i], &mut right[0][j]);
}

/// How often a bucket with these literals passes a place in a text, in 10⁻¹².
fn cost(column: &[usize], literals: &[String]) -> u64 {
    let place = |place: usize| {
        let bytes = || column.iter().filter_map(|index| literals[*index].as_bytes().get(place));
        let lows = bytes().fold(0_u16, |set, byte| set | 1 << (byte & 15));
        let highs = bytes().fold(0_u16, |set, byte| set | 1 << (byte >> 4));
        let of_high = |high: usize| -> u64 {
            let known = high.checked_sub(2).and_then(|row| FREQUENCY.get(row));
            let each = (0..16).filter(|low| lows & 1 << low != 0);
            each.map(|low| u64::from(known.map_or(OTHER, |row| row[low]))).sum()
        };
        (0..16).filter(|high| highs & 1 << high != 0).map(of_high).sum::<u64>()
    };
    (0..PREFIX).map(place).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_is_there_once_and_likes_share_a_bucket() {
        let literals: Vec<String> =
            (0..40).map(|n| format!("{}{:02}x", ["aaa", "zzz"][n % 2], n)).chain(["AAA0".into()]).collect();
        let order = arrange(&literals);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..literals.len()).collect::<Vec<_>>());
    }
}
