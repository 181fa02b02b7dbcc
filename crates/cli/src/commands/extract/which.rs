//! Which tenant and which product are meant, asked of the rows of the set.

use plan::ports::RowReader;
use plan::{Error, Result};
use threescale::tenant::{ACCOUNT_COLUMNS, Account, Id, Product, Products, SERVICE_COLUMNS, Tenants, Wanted};

/// What was asked for.
pub(in crate::commands) struct Which<'a> {
    pub(in crate::commands) tenant: Option<&'a str>,
    pub(in crate::commands) service: Option<&'a str>,
}

/// What is meant.
pub(in crate::commands) struct Meant {
    pub(in crate::commands) tenant: Account,
    pub(in crate::commands) master: Option<Id>,
    pub(in crate::commands) product: Option<Product>,
}

/// Is told the cells of a row.
type Told<'a> = &'a mut dyn FnMut(&[Option<&[u8]>]);

/// Told the rows of one table.
struct One<'a> {
    table: &'static str,
    columns: &'static [&'static str],
    each: Told<'a>,
}

impl RowReader for One<'_> {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        (table == self.table).then_some(self.columns)
    }

    fn row(&mut self, _table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        (self.each)(cells);
        Ok(())
    }
}

pub(in crate::commands) fn which(args: &Which<'_>, read: impl Fn(&mut dyn RowReader) -> Result<()>) -> Result<Meant> {
    let product_of = |wanted: &str, of: Option<Id>| {
        let mut products = Products::new(wanted, of);
        read(&mut One { table: "services", columns: SERVICE_COLUMNS, each: &mut |cells| products.service(cells) })?;
        products.found()
    };
    let tenant_of = |wanted: &str| {
        let mut tenants = Tenants::new(Wanted::new(wanted));
        read(&mut One { table: "accounts", columns: ACCOUNT_COLUMNS, each: &mut |cells| tenants.account(cells) })?;
        let master = tenants.master();
        tenants.found().map(|tenant| (tenant, master))
    };
    let (tenant, master, product) = match (args.tenant, args.service) {
        (Some(tenant), service) => {
            let (tenant, master) = tenant_of(tenant)?;
            let product = service.map(|service| product_of(service, Some(tenant.id))).transpose()?;
            (tenant, master, product)
        }
        (None, Some(service)) => {
            let product = product_of(service, None)?;
            let (tenant, master) = tenant_of(&product.account_id.to_string())
                .map_err(|error| error.during(format!("product {} is of account {}", product.id, product.account_id)))?;
            (tenant, master, Some(product))
        }
        (None, None) => return Err(Error::refused("no tenant is named").hint("Give --tenant, or --service.")),
    };
    Ok(Meant { tenant, master, product })
}
