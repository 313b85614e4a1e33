/// The name among `candidates` that `name` was most likely meant to be; `None` if none is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two slips in a short name, or one in four letters of a long one, still tell what was meant.
    let most = (name.chars().count() / 4).max(2);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = ["entries", "activities", "kpi_values"];
        assert_eq!(nearest("entires", names), Some("entries"));
        assert_eq!(nearest("Activitys", names), Some("activities"));
        assert_eq!(nearest("orders", names), None);
        assert_eq!(nearest("x", ["id"]), None);
    }
}
