//! `#[aggregate]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Result, ReturnType, Type};

use crate::options::{Options, Param, check, docs};

pub(crate) fn expand(options: Options, item: ItemImpl) -> Result<TokenStream> {
    if let Some((_, path, _)) = &item.trait_ {
        return Err(Error::new(
            path.span(),
            "an aggregate is an `impl` block of the type itself, not of a trait",
        ));
    }
    if let Some(param) = item.generics.params.first() {
        return Err(Error::new(
            param.span(),
            "an aggregate cannot be generic: its columns have one type each",
        ));
    }
    let this = &item.self_ty;
    let Type::Path(path) = &**this else {
        return Err(Error::new(this.span(), "an aggregate is a named type"));
    };
    let ident = path
        .path
        .segments
        .last()
        .map(|segment| segment.ident.unraw().to_string())
        .unwrap_or_default();
    let name = options
        .name
        .as_ref()
        .map_or_else(|| snake_case(&ident), |name| name.value());

    let create = Method::find(&item, "create", 0, "fn create() -> State")?;
    let add = Method::find(&item, "add", 2, "fn add(state: &mut State, value: Type)")?;
    let merge = Method::find(&item, "merge", 2, "fn merge(state: &mut State, other: State)")?;
    let extract = Method::find(&item, "extract", 1, "fn extract(state: State) -> Output")?;

    let state = create.returned("the state of a group without rows")?;
    let output = extract.returned("the result of a group")?;
    let params = add
        .0
        .sig
        .inputs
        .iter()
        .skip(1)
        .enumerate()
        .map(|(i, argument)| Param::new(i, argument));
    let params = params.collect::<Result<Vec<_>>>()?;
    let (declares, reads) = (params.iter().map(Param::declare), params.iter().map(Param::read));
    let (validity, values) = (params.iter().map(Param::validity), params.iter().map(Param::get));
    let other = if merge.borrows(1) {
        quote!(&other)
    } else {
        quote!(other)
    };
    let extracted = if extract.borrows(0) {
        quote!(&state)
    } else {
        quote!(state)
    };
    let (docs, volatility) = (docs(&item.attrs), options.volatility());
    Ok(quote! {
        #item

        impl ::weir_guest::__private::Function for #this {
            const NAME: &'static str = #name;

            fn describe() -> ::weir_guest::__private::Description {
                let mut params = ::std::vec::Vec::new();
                #(#declares)*
                ::weir_guest::__private::describe_aggregate::<Self>(
                    <Self as ::weir_guest::__private::Function>::NAME, #docs, #volatility, params
                )
            }

            fn open() -> ::std::boxed::Box<dyn ::weir_guest::__private::Instance> {
                ::std::boxed::Box::new(<::weir_guest::__private::Groups<Self> as ::core::default::Default>::default())
            }
        }

        impl ::weir_guest::__private::Aggregate for #this {
            type State = #state;
            type Output = #output;

            fn create() -> #state {
                <#this>::create()
            }

            fn update(
                __batch: &::weir_guest::__private::Batch,
                groups: &[u32],
                states: &mut [#state],
            ) -> ::core::result::Result<
                ::std::vec::Vec<::weir_guest::__private::RowError>,
                ::std::string::String,
            > {
                let mut __cursor = ::weir_guest::__private::Cursor::new(__batch);
                #(#reads)*
                let validity = [#(#validity),*];
                let mut errors = ::std::vec::Vec::new();
                ::weir_guest::__private::for_each_row(__batch.rows as usize, &validity, |__row| {
                    let state = &mut states[groups[__row] as usize];
                    let outcome = <#this>::add(state, #(#values),*);
                    errors.extend(::weir_guest::__private::Outcome::refused(outcome, __row));
                });
                ::core::result::Result::Ok(errors)
            }

            fn merge(state: &mut #state, other: #state) {
                <#this>::merge(state, #other);
            }

            fn extract(state: #state) -> #output {
                <#this>::extract(#extracted)
            }
        }
    })
}

/// One of the four functions.
struct Method<'a>(&'a ImplItemFn);

impl<'a> Method<'a> {
    fn find(item: &'a ItemImpl, name: &str, arguments: usize, expected: &str) -> Result<Self> {
        let wrong = |span: Span| Error::new(span, format!("an aggregate needs `{expected}`"));
        let method = item.items.iter().find_map(|item| match item {
            ImplItem::Fn(method) if method.sig.ident == name => Some(method),
            _ => None,
        });
        let method = method.ok_or_else(|| wrong(item.self_ty.span()))?;
        check(&method.sig)?;
        let inputs = &method.sig.inputs;
        let several = name == "add" && inputs.len() > arguments;
        if inputs.len() != arguments && !several {
            return Err(wrong(method.sig.ident.span()));
        }
        if let Some(receiver) = method.sig.receiver() {
            return Err(wrong(receiver.span()));
        }
        Ok(Self(method))
    }

    fn returned(&self, what: &str) -> Result<&'a Type> {
        match &self.0.sig.output {
            ReturnType::Type(_, ty) => Ok(ty),
            ReturnType::Default => {
                let ident = &self.0.sig.ident;
                Err(Error::new(ident.span(), format!("`{ident}` returns {what}")))
            }
        }
    }

    fn borrows(&self, argument: usize) -> bool {
        matches!(self.0.sig.inputs.iter().nth(argument), Some(FnArg::Typed(typed)) if matches!(*typed.ty, Type::Reference(_)))
    }
}

/// `WeightedMean` is called `weighted_mean`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut last_is_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && last_is_lower {
            snake.push('_');
        }
        last_is_lower = c.is_lowercase() || c.is_ascii_digit();
        snake.extend(c.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn functions_are_named_after_types() {
        for (name, expected) in [
            ("Median", "median"),
            ("WeightedMean", "weighted_mean"),
            ("P95Latency", "p95_latency"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
