//! The Routes of OpenShift's router in a namespace, page by page. Source: OpenShift's API `route.openshift.io/v1`; the labels are zync's
//! (`app/services/integration/kubernetes_service.rb`).

use plan::Result;
use plan::ports::{ReadRoute, RouteReader, StopFlag};
use serde_json::Value;

use super::client::Cluster;
use super::writers::workload::{list, text};

/// So many in one answer.
const PAGE: u32 = 250;
const API: &str = "route.openshift.io/v1";

impl Cluster {
    /// Tells the Routes of the namespace. Gives why they cannot be told, where they cannot: there is no such kind, or this user may not list them.
    ///
    /// # Errors
    /// When a listing fails for another reason, as a listing that changed under way does; what the reader says.
    pub fn each_route(&self, stop: &StopFlag, reader: &mut RouteReader<'_>) -> Result<Option<String>> {
        let mut token = String::new();
        loop {
            stop.check()?;
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &PAGE.to_string());
            if !token.is_empty() {
                query.append_pair("continue", &token);
            }
            let page = match self.get(&format!("{}?{}", self.path(API, "routes", None), query.finish())) {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(Some("the cluster has no Routes (route.openshift.io)".to_owned())),
                Err(error) if error.is_forbidden() => {
                    return Ok(Some(format!("this user may not list them; add to a Role in the namespace: {}", error.rule())));
                }
                Err(error) => return Err(error.into()),
            };
            for route in list(&page, "/items") {
                reader(&read(route))?;
            }
            text(&page, "/metadata/continue").clone_into(&mut token);
            if token.is_empty() {
                return Ok(None);
            }
        }
    }
}

/// A Route that every router refuses which has looked at it is refused; one that no router has looked at yet is not.
fn read(route: &Value) -> ReadRoute<'_> {
    let verdicts: Vec<&str> = list(route, "/status/ingress")
        .iter()
        .flat_map(|ingress| list(ingress, "/conditions"))
        .filter(|condition| text(condition, "/type") == "Admitted")
        .map(|condition| text(condition, "/status"))
        .collect();
    ReadRoute {
        host: text(route, "/spec/host").as_bytes(),
        is_refused: !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == "False"),
        is_of_zync: route.pointer("/metadata/labels/3scale.net~1created-by").and_then(Value::as_str) == Some("zync"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::scripted::{Reply, cluster};

    const PATH: &str = "/apis/route.openshift.io/v1/namespaces/n/routes";

    fn all(cluster: &Cluster) -> (Vec<(String, bool, bool)>, Option<String>) {
        let mut all = Vec::new();
        let why = cluster.each_route(&StopFlag::default(), &mut |route| {
            all.push((String::from_utf8_lossy(route.host).into_owned(), route.is_refused, route.is_of_zync));
            Ok(())
        });
        (all, why.unwrap())
    }

    #[test]
    fn routes_come_page_by_page_with_what_the_routers_say() {
        let admitted = |status: &str| json!({"ingress": [{"host": "h", "conditions": [{"type": "Admitted", "status": status}]}]});
        let of_zync = json!({"labels": {"3scale.net/created-by": "zync"}});
        let both = json!({"ingress": [{"conditions": [{"type": "Admitted", "status": "False"}]}, {"conditions": [{"type": "Admitted", "status": "True"}]}]});
        let cluster = cluster(move |method, path, _| {
            assert_eq!(method, "GET");
            let (kind, query) = path.split_once('?').unwrap();
            assert!(kind == PATH && query.contains("limit=250"), "{path}");
            let page = if query.contains("continue=next+one") {
                json!({"items": [{"spec": {"host": "d"}, "status": admitted("False")}, {"spec": {"host": "e"}, "status": both}], "metadata": {}})
            } else {
                json!({"metadata": {"continue": "next one"}, "items": [
                    {"metadata": of_zync, "spec": {"host": "a.example"}, "status": admitted("True")},
                    {"metadata": of_zync, "spec": {"host": "b.example"}}, {"spec": {}}]})
            };
            Reply::Json(200, page)
        });
        let route = |host: &str, is_refused, is_of_zync| (host.to_owned(), is_refused, is_of_zync);
        let wanted = [
            route("a.example", false, true),
            route("b.example", false, true),
            route("", false, false),
            route("d", true, false),
            route("e", false, false),
        ];
        assert_eq!(all(&cluster), (wanted.to_vec(), None));
    }

    #[test]
    fn what_cannot_be_listed_is_said_and_a_broken_listing_is_an_error() {
        let none = cluster(|_, _, _| Reply::Json(404, json!({"reason": "NotFound"})));
        assert_eq!(all(&none), (Vec::new(), Some("the cluster has no Routes (route.openshift.io)".to_owned())));
        let forbidden = cluster(|_, _, _| Reply::Json(403, json!({"reason": "Forbidden"})));
        let why = all(&forbidden).1.unwrap();
        assert!(why.contains("may not list them") && why.contains("route.openshift.io") && why.contains("routes"), "{why}");
        let broken = cluster(|_, path, _| {
            if path.contains("continue") {
                Reply::Json(410, json!({"reason": "Expired", "code": 410}))
            } else {
                Reply::Json(200, json!({"metadata": {"continue": "x"}, "items": []}))
            }
        });
        broken.each_route(&StopFlag::default(), &mut |_| Ok(())).unwrap_err();
        let stopped = StopFlag::default();
        stopped.raise();
        assert_eq!(none.each_route(&stopped, &mut |_| Ok(())).unwrap_err().class(), plan::Class::Interrupted);
    }
}
