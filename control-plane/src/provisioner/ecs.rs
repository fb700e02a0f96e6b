//! Workers as tasks of ECS services.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Service;

use super::{Error, Fleet, Provisioner};

/// Services that one call describes.
const MAX_SERVICES: usize = 10;

/// A service of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsService {
    /// Its name or ARN.
    pub name: String,
    /// Its share of the workers, relative to the other services.
    pub weight: u32,
}

/// Workers as tasks of one or more ECS services, which differ by the kind of their capacity (Spot or on demand, ARM or
/// x86). ECS starts and replaces tasks; workers that run tasks of ours protect themselves from being stopped.
pub struct EcsProvisioner {
    client: Client,
    cluster: String,
    services: Vec<EcsService>,
}

impl EcsProvisioner {
    /// A provisioner for services of a cluster, of one to ten; the shares of each follow from its weight.
    pub fn new(config: &SdkConfig, cluster: impl Into<String>, services: Vec<EcsService>) -> Result<Self, Error> {
        let weights = services.iter().map(|service| u64::from(service.weight)).sum::<u64>();
        if services.is_empty() || services.len() > MAX_SERVICES || weights == 0 {
            let problem = format!("name 1 to {MAX_SERVICES} services, not all of weight 0");
            return Err(Error::new("use the ECS services", problem));
        }
        Ok(Self {
            client: Client::new(config),
            cluster: cluster.into(),
            services,
        })
    }

    /// The services as ECS knows them, in our order.
    async fn described(&self) -> Result<Vec<Service>, Error> {
        let call = self
            .client
            .describe_services()
            .cluster(&self.cluster)
            .set_services(Some(self.services.iter().map(|service| service.name.clone()).collect()));
        let answer = call.send().await;
        let answer = answer.map_err(|e| Error::new(format!("describe the ECS services of `{}`", self.cluster), e))?;
        let mut known = answer.services.unwrap_or_default();
        let find = |wanted: &EcsService| {
            let is_it = |service: &Service| {
                [&service.service_name, &service.service_arn]
                    .iter()
                    .any(|name| name.as_deref() == Some(&wanted.name))
            };
            let place = known.iter().position(is_it);
            place.map(|place| known.swap_remove(place)).ok_or_else(|| {
                Error::new(
                    format!(
                        "find the ECS service `{}` in the cluster `{}`",
                        wanted.name, self.cluster
                    ),
                    "there is none of this name; check the settings of the provisioner",
                )
            })
        };
        self.services.iter().map(find).collect()
    }

    async fn update(&self, service: &EcsService, tasks: u32) -> Result<(), Error> {
        let call = self
            .client
            .update_service()
            .cluster(&self.cluster)
            .service(&service.name)
            .desired_count(i32::try_from(tasks).unwrap_or(i32::MAX));
        let updated = call.send().await;
        updated.map_err(|e| Error::new(format!("update the ECS service `{}`", service.name), e))?;
        Ok(())
    }
}

#[async_trait]
impl Provisioner for EcsProvisioner {
    async fn current(&self) -> Result<Fleet, Error> {
        let services = self.described().await?;
        let sum = |count: fn(&Service) -> i32| {
            let counts = services
                .iter()
                .map(|service| u32::try_from(count(service)).unwrap_or(0));
            counts.fold(0, u32::saturating_add)
        };
        Ok(Fleet {
            wanted: sum(|service| service.desired_count),
            running: sum(|service| service.running_count),
        })
    }

    async fn set(&self, workers: u32) -> Result<(), Error> {
        let shares = apportion(workers, self.services.iter().map(|service| service.weight));
        for ((service, now), share) in self.services.iter().zip(self.described().await?).zip(shares) {
            if i64::from(now.desired_count) != i64::from(share) {
                self.update(service, share).await?;
            }
        }
        Ok(())
    }
}

/// Splits `total` by weights: each share is the exact one rounded up or down, and the largest remainders go up.
fn apportion(total: u32, weights: impl Iterator<Item = u32>) -> Vec<u32> {
    let weights: Vec<u64> = weights.map(u64::from).collect();
    let all = weights.iter().sum::<u64>().max(1);
    let exact = |weight: &u64| u64::from(total) * weight;
    let mut shares: Vec<u64> = weights.iter().map(|weight| exact(weight) / all).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Stable: of equal remainders the first.
    order.sort_by_key(|i| std::cmp::Reverse(exact(&weights[*i]) % all));
    let left = u64::from(total).saturating_sub(shares.iter().sum());
    for i in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        shares[i] += 1;
    }
    shares
        .into_iter()
        .map(|share| u32::try_from(share).unwrap_or(u32::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn remainders_go_to_whom_most_is_missing() {
        assert_eq!(apportion(10, [1].into_iter()), [10]);
        assert_eq!(apportion(10, [3, 1].into_iter()), [8, 2]);
        assert_eq!(apportion(1, [1, 1].into_iter()), [1, 0]);
        assert_eq!(apportion(5, [0, 2, 1].into_iter()), [0, 3, 2]);
        assert_eq!(apportion(0, [2, 1].into_iter()), [0, 0]);
    }

    proptest! {
        #[test]
        fn nobody_is_more_than_one_off(total in 0_u32..10_000, weights in prop::collection::vec(0_u32..50, 1..10)) {
            let all: u32 = weights.iter().sum();
            prop_assume!(all > 0);
            let shares = apportion(total, weights.iter().copied());
            prop_assert_eq!(shares.iter().sum::<u32>(), total);
            for (share, weight) in shares.iter().zip(weights) {
                let exact = f64::from(total) * f64::from(weight) / f64::from(all);
                prop_assert!((f64::from(*share) - exact).abs() < 1.0, "{} for {}", share, exact);
            }
        }
    }
}
