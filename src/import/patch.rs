//! Sitecore's include files, merged as Sitecore merges them.
//!
//! In: configuration and include files in order. Out: the `sharedSessionState` element that they
//! make together, and remarks on what was not followed. By Sitecore's documentation on patch files,
//! an element of an include file changes the element of the same name and the same significant
//! attributes, and is added where there is none. The surprising fact: all other attributes decide
//! nothing, so `<sharedSessionState defaultProvider="redis">` changes the provider of the one that
//! says `inProc` and is no second one.

use super::xml::{Attribute, Element};

/// The namespace of `patch:`.
const PATCH: &str = "http://www.sitecore.net/xmlconfig/";
/// The namespace of `set:`.
const SET: &str = "http://www.sitecore.net/xmlconfig/set/";
/// Attributes that tell elements of one name apart.
const SIGNIFICANT: [&str; 4] = ["name", "key", "id", "desc"];
/// Attributes of `patch:` that only say in which order elements stand, or where they come from.
const ORDER: [&str; 3] = ["before", "after", "source"];

/// The `sitecore/tracking/sharedSessionState` of all files together; `None` where no file has it.
#[must_use]
pub fn shared_session_state(files: &[Element], remarks: &mut Vec<String>) -> Option<Element> {
    let mut merged: Option<Element> = None;
    for root in files {
        for section in sections(root, remarks) {
            let base = merged.get_or_insert_with(|| bare(section));
            if merge(base, section, remarks) {
                merged = None;
            }
        }
    }
    merged
}

/// Every `sharedSessionState` of a file.
fn sections<'a>(root: &'a Element, remarks: &mut Vec<String>) -> Vec<&'a Element> {
    let mut found = vec![root];
    if root.name != "sitecore" {
        found = named(&found, "sitecore", remarks);
    }
    for name in ["tracking", "sharedSessionState"] {
        found = named(&found, name, remarks);
    }
    found
}

fn named<'a>(above: &[&'a Element], name: &str, remarks: &mut Vec<String>) -> Vec<&'a Element> {
    let below = above.iter().flat_map(|it| &it.children);
    let found: Vec<_> = below.filter(|it| it.name == name).collect();
    found.iter().for_each(|it| remark(it, remarks));
    found
}

/// Says what of an element is not followed.
fn remark(element: &Element, remarks: &mut Vec<String>) {
    for attribute in &element.attributes {
        let known = attribute.namespace.is_empty() || attribute.namespace == SET;
        let order = attribute.namespace == PATCH && ORDER.contains(&attribute.name.as_str());
        if known || order || !attribute.namespace.starts_with(PATCH) {
            continue;
        }
        let what = match attribute.namespace.as_str() {
            PATCH => format!(
                "`patch:{}` is not followed: the element was added",
                attribute.name
            ),
            _ => format!("`{}` is not evaluated: the element counts", attribute.name),
        };
        remarks.push(format!("{}: {what}.", place(element)));
    }
}

/// File and line for a remark, without folders.
fn place(element: &Element) -> String {
    let file = element.place.file.file_name().unwrap_or_default();
    format!("{}:{}", file.to_string_lossy(), element.place.line)
}

/// An element of the same name and significance, with nothing else.
fn bare(element: &Element) -> Element {
    let significant = plain(element).filter(|it| SIGNIFICANT.contains(&it.name.as_str()));
    Element {
        attributes: significant.cloned().collect(),
        children: Vec::new(),
        text: String::new(),
        ..element.clone()
    }
}

fn plain(element: &Element) -> impl Iterator<Item = &Attribute> {
    element
        .attributes
        .iter()
        .filter(|it| it.namespace.is_empty())
}

/// Merges an element into the one that it means. True if that is to be deleted.
fn merge(base: &mut Element, patch: &Element, remarks: &mut Vec<String>) -> bool {
    base.place = patch.place.clone();
    for attribute in &patch.attributes {
        if attribute.namespace.is_empty() || attribute.namespace == SET {
            set(base, &attribute.name, &attribute.value);
        }
    }
    if !patch.text.is_empty() {
        base.text.clone_from(&patch.text);
    }
    for child in &patch.children {
        match (child.namespace == PATCH, child.name.as_str()) {
            (true, "delete") => return true,
            (true, "attribute") => {
                let value = child.attribute("value").unwrap_or(&child.text);
                if let Some(name) = child.attribute("name") {
                    set(base, name, value);
                }
            }
            (true, other) => remarks.push(format!(
                "{}: `patch:{other}` is not followed.",
                place(child)
            )),
            (false, _) => merge_child(base, child, remarks),
        }
    }
    false
}

fn merge_child(base: &mut Element, child: &Element, remarks: &mut Vec<String>) {
    remark(child, remarks);
    let same = |other: &Element| {
        other.name == child.name
            && SIGNIFICANT.iter().all(|name| {
                child
                    .attribute(name)
                    .is_none_or(|it| other.attribute(name) == Some(it))
            })
    };
    let position = base.children.iter().position(same);
    let position = position.unwrap_or_else(|| {
        base.children.push(bare(child));
        base.children.len() - 1
    });
    if merge(&mut base.children[position], child, remarks) {
        base.children.remove(position);
    }
}

fn set(element: &mut Element, name: &str, value: &str) {
    let known = element
        .attributes
        .iter_mut()
        .find(|it| it.namespace.is_empty() && it.name == name);
    match known {
        Some(attribute) => value.clone_into(&mut attribute.value),
        None => element.attributes.push(Attribute {
            name: name.to_owned(),
            namespace: String::new(),
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::xml;
    use std::path::Path;

    const BASE: &str = "<sharedSessionState defaultProvider='inProc'><providers><clear/>\
        <add name='inProc' type='InProc'/><add name='redis' type='Redis' compression='true'/>\
        </providers><config><param desc='maxLockAge'>5000</param></config></sharedSessionState>";

    fn file(inside: &str) -> Element {
        let text = format!(
            "<configuration xmlns:patch='{PATCH}' xmlns:set='{SET}' \
             xmlns:role='http://www.sitecore.net/xmlconfig/role/'>\
             <sitecore><tracking>{inside}</tracking></sitecore></configuration>"
        );
        xml::parse(Path::new("app/x.config"), &text).unwrap()
    }

    fn merged(patch: &str) -> (Option<Element>, Vec<String>) {
        let mut remarks = Vec::new();
        let merged = shared_session_state(&[file(BASE), file(patch)], &mut remarks);
        (merged, remarks)
    }

    #[test]
    fn attributes_are_set_in_three_ways() {
        for patch in [
            "<sharedSessionState defaultProvider='redis'/>",
            "<sharedSessionState set:defaultProvider='redis'/>",
            "<sharedSessionState><patch:attribute name='defaultProvider'>redis</patch:attribute></sharedSessionState>",
            "<sharedSessionState><patch:attribute name='defaultProvider' value='redis'/></sharedSessionState>",
        ] {
            let (merged, remarks) = merged(patch);
            let merged = merged.unwrap();
            assert_eq!(
                merged.attribute("defaultProvider"),
                Some("redis"),
                "{patch}"
            );
            assert_eq!(merged.children.len(), 2);
            assert!(remarks.is_empty());
        }
    }

    #[test]
    fn an_element_of_the_same_name_attribute_is_changed_and_another_is_added() {
        let (merged, _) = merged(
            "<sharedSessionState><providers><add name='redis' pollingInterval='5'/>\
             <add name='mongo' type='Mongo'/></providers>\
             <config><param desc='maxLockAge'>9000</param></config></sharedSessionState>",
        );
        let merged = merged.unwrap();
        let providers = merged.child("providers").unwrap().collection("name");
        let names: Vec<_> = providers
            .iter()
            .map(|it| it.attribute("name").unwrap())
            .collect();
        assert_eq!(names, ["inProc", "redis", "mongo"]);
        assert_eq!(providers[1].attribute("compression"), Some("true"));
        assert_eq!(providers[1].attribute("pollingInterval"), Some("5"));
        assert_eq!(merged.child("config").unwrap().children[0].text, "9000");
    }

    #[test]
    fn a_deleted_element_is_gone() {
        let (merged, _) = merged(
            "<sharedSessionState><providers><add name='redis'><patch:delete/></add></providers></sharedSessionState>",
        );
        let merged = merged.unwrap();
        let providers = merged.child("providers").unwrap();
        assert_eq!(providers.collection("name").len(), 1);
        assert!(
            super::tests::merged("<sharedSessionState><patch:delete/></sharedSessionState>")
                .0
                .is_none()
        );
    }

    #[test]
    fn what_is_not_followed_is_said() {
        let (_, remarks) = merged(
            "<sharedSessionState role:require='ContentDelivery'><providers>\
             <add name='x' patch:instead='*[1]' patch:source='y'/></providers></sharedSessionState>",
        );
        assert_eq!(
            remarks,
            [
                "x.config:1: `require` is not evaluated: the element counts.",
                "x.config:1: `patch:instead` is not followed: the element was added.",
            ]
        );
    }
}
